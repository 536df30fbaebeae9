//! The loss of classifiers: class weights and label smoothing.

use grades_models::bert::{BertClassifier, LoadOptions};
use tch::{Kind, Tensor};

use crate::decoder::llama;
use crate::support::{Folder, Tiny};
use crate::tolerance::{TINY_BERT, assert_number_within};

/// Three of `yes`, one of `no`; the model is a classifier without dropout, so the first loss follows from its logits.
fn folder() -> Folder {
    let folder = Folder::with(&Tiny::classifier().without_dropout());
    folder.write("train.tsv", "good\tyes\nvery good\tyes\nbad\tno\ngood film\tyes\n");
    folder
}

const SENTENCES: [(&[i64], usize); 4] =
    [(&[2, 4, 3], 1), (&[2, 14, 4, 3], 1), (&[2, 5, 3], 0), (&[2, 4, 6, 3], 1)];

/// The loss by its definition: of a label y with weights w, (1 - e) w_y (-log p_y) + e / K Σ w_c (-log p_c).
fn expected(folder: &Folder, weights: [f64; 2], smoothing: f64) -> f64 {
    let (model, _) = BertClassifier::load(&folder.path("model"), LoadOptions::default()).unwrap();
    let loss = |(ids, label): &(&[i64], usize)| {
        let ids = Tensor::from_slice(ids).unsqueeze(0);
        let logits = tch::no_grad(|| model.forward(&ids, &ids.ones_like(), false)).unwrap();
        let logs = Vec::<f64>::try_from(logits.log_softmax(-1, Kind::Double).squeeze()).unwrap();
        let all: f64 = logs.iter().zip(weights).map(|(log, weight)| -log * weight).sum();
        (1.0 - smoothing) * weights[*label] * -logs[*label] + smoothing / 2.0 * all
    };
    SENTENCES.iter().map(loss).sum::<f64>() / 4.0
}

#[test]
fn the_loss_is_the_weighted_and_smoothed_one_however_batches_divide_it() {
    let folder = folder();
    let cases: [(&[&str], [f64; 2], f64); 5] = [
        (&[], [1.0, 1.0], 0.0),
        (&["training.label_smoothing=0.2"], [1.0, 1.0], 0.2),
        (&["training.class_weights={ yes = 0.5, no = 3 }"], [3.0, 0.5], 0.0),
        // 4 examples, 2 labels: 4 / (2 · 1) and 4 / (2 · 3).
        (&["training.class_weights=balanced"], [2.0, 2.0 / 3.0], 0.0),
        (&["training.class_weights=balanced", "training.label_smoothing=0.1"], [2.0, 2.0 / 3.0], 0.1),
    ];
    for (assignments, weights, smoothing) in cases {
        let expected = expected(&folder, weights, smoothing);
        for batches in [
            ["training.batch_size=4", "training.gradient_accumulation_steps=1"],
            ["training.batch_size=1", "training.gradient_accumulation_steps=4"],
        ] {
            let run = folder.run(&[assignments, &batches, &["training.epochs=1"]].concat());
            let tolerance = 4.0 * TINY_BERT.tolerance(Kind::Float);
            assert_number_within(
                run.log.steps[0].loss,
                expected,
                tolerance,
                format!("{assignments:?} {batches:?}"),
            );
        }
    }
}

#[test]
fn the_loss_of_evaluations_is_the_plain_one() {
    let folder = folder();
    let sets = ["data.eval=train.tsv", "training.epochs=1", "optimizer.lr=1e-12"];
    let weighted = folder
        .run(&[&sets[..], &["training.class_weights=balanced", "training.label_smoothing=0.2"]].concat());
    let tolerance = 4.0 * TINY_BERT.tolerance(Kind::Float);
    assert_number_within(
        weighted.summary.eval.loss.unwrap(),
        expected(&folder, [1.0, 1.0], 0.0),
        tolerance,
        "loss",
    );
}

#[test]
fn a_run_with_weights_can_be_run_again_by_its_configuration() {
    let folder = folder();
    let run = folder.run(&["training.class_weights={ yes = 0.5, no = 3 }", "training.epochs=1"]);
    let config = run.files.config();
    assert_eq!(config["training"]["class_weights"]["no"].as_float(), Some(3.0), "{config:?}");
    let again = folder.finetune(&[
        "train",
        "--config",
        &format!("{}/config.toml", run.files.path.display()),
        "--name",
        "again",
        "--device",
        "cpu",
    ]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(folder.files("again").steps()[0].loss, run.log.steps[0].loss);
}

#[test]
fn weights_that_make_no_sense_are_refused_by_name() {
    let folder = folder();
    let form = "training.class_weights: expected \"balanced\", or a table with a number of at least 0 for each label";
    for (assignment, message) in [
        ("training.class_weights=balance", form),
        ("training.class_weights={ yes = -1, no = 1 }", form),
        ("training.class_weights=[1, 2]", form),
        (
            "training.class_weights={ yes = 1, maybe = 2, no = 1 }",
            "training.class_weights: there is no label \"maybe\"; the labels are no, yes",
        ),
        (
            "training.class_weights={ yes = 1 }",
            "training.class_weights: the label \"no\" has no weight; the labels are no, yes",
        ),
        (
            "training.label_smoothing=1",
            "training.label_smoothing: expected a number from 0 to below 1, found 1",
        ),
    ] {
        let error = folder.run_refused(&[assignment]);
        assert!(error.contains(message), "{assignment}: {error}");
    }
    for assignment in ["training.class_weights=balanced", "training.label_smoothing=0.1"] {
        let error = llama().run_refused(&[assignment]);
        assert!(error.contains("is for classifiers; the model is a decoder (model_type llama)"), "{error}");
    }
}
