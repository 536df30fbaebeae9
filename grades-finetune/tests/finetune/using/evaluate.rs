//! `finetune evaluate` has the numbers of a run's evaluation.

use grades_finetune::records::Metric;
use serde_json::Value;

use crate::decoder::llama;
use crate::support::{Folder, Tiny};

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let ran = folder.finetune(&[&["evaluate", "--json", "--device", "cpu"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_trained_classifier_has_the_scores_of_its_run() {
    let folder = Folder::new();
    folder.trained(&["--lr", "0.01", "--epochs", "4"]);
    let summary = folder.json("runs/base/summary.json");
    // The run's folder stands for the model in it.
    for model in ["runs/base", "runs/base/model"] {
        let found = json(&folder, &["--model", model, "--data", "dev.tsv"]);
        for key in ["loss", "accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "mcc", "classes"] {
            assert_eq!(found[key], summary[format!("eval_{key}")], "{key}");
        }
        assert_eq!(found["examples"], 8);
    }
    let confusion = &summary["eval_classes"]["confusion"];
    let count = |label: usize, predicted: usize| confusion[label][predicted].as_u64().unwrap();
    assert_eq!(count(0, 0) + count(0, 1) + count(1, 0) + count(1, 1), 8);
    assert_eq!(summary["eval_classes"]["classes"][1]["label"], "yes");
    for line in folder.lines("runs/base/evals.jsonl") {
        assert!(line["macro_f1"].is_f64() && line.get("classes").is_none(), "{line}");
    }

    let ran = folder.finetune(&["evaluate", "--model", "runs/base", "--data", "dev.tsv"]);
    for words in ["examples             8", "macro f1", "class precision", "← predicted"] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(ran.stderr.contains("settings: runs/base/config.toml"), "{ran:?}");
}

#[test]
fn a_trained_adapter_has_the_scores_of_its_run() {
    let folder = Folder::new();
    folder.trained(&["--lora", "--lr", "0.05"]);
    let summary = folder.json("runs/base/summary.json");
    let found = json(&folder, &["--model", "model", "--adapter", "runs/base/adapter", "--data", "dev.tsv"]);
    assert_eq!((&found["loss"], &found["classes"]), (&summary["eval_loss"], &summary["eval_classes"]));
}

#[test]
fn a_decoder_has_the_scores_of_its_run() {
    let folder = llama();
    folder.write(
        "choices.jsonl",
        "{\"prompt\": \"coal ? \", \"choices\": [\"black\", \"white\"], \"answer\": 0}\n",
    );
    let exact = "evaluation.exact_match=true";
    folder.trained(&["--eval", "train.jsonl", "--test", "choices.jsonl", "--set", exact]);
    let summary = folder.json("runs/base/summary.json");
    let found = json(&folder, &["--model", "runs/base/model", "--data", "train.jsonl"]);
    for key in ["loss", "perplexity", "exact_match"] {
        assert_eq!(found[key], summary[format!("eval_{key}")], "{key}");
    }
    let found = json(&folder, &["--model", "runs/base/model", "--data", "choices.jsonl"]);
    for key in ["loss", "accuracy", "accuracy_per_byte"] {
        assert_eq!(found[key], summary[format!("test_{key}")], "{key}");
    }
}

#[test]
fn the_metric_of_early_stopping_is_one_that_the_task_has() {
    let folder = Folder::new();
    let stopping = |metric: &str| format!("early_stopping.metric={metric}");
    for metric in ["macro_f1", "balanced_accuracy", "mcc", "micro_f1"] {
        let run = folder.run(&[&stopping(metric), "early_stopping.patience=1", "training.eval_every=1"]);
        let metric: Metric = metric.parse().unwrap();
        let evaluations = run.log.evaluations.iter().filter(|record| !record.is_final);
        let best = evaluations
            .map(|record| (metric.of(&record.evaluation).unwrap(), record.step))
            .fold((f64::MIN, 0), |best, next| if next.0 > best.0 { next } else { best });
        assert_eq!(run.summary.best.best_step, Some(best.1), "{metric}");
    }
    let refused = folder.run_refused(&[&stopping("spearman")]);
    assert_eq!(
        refused,
        "early_stopping.metric = \"spearman\": evaluations of these examples give none; choose \"loss\", \"accuracy\", \
         \"balanced_accuracy\", \"macro_f1\", \"micro_f1\" or \"mcc\""
    );
    let refused = llama().run_refused(&[&stopping("accuracy"), "data.eval=train.jsonl"]);
    assert_eq!(
        refused,
        "early_stopping.metric = \"accuracy\": evaluations of these examples give none; choose \"loss\" or \"perplexity\""
    );
}

#[test]
fn a_model_or_data_that_cannot_be_evaluated_is_refused_with_the_cure() {
    let folder = Folder::with(&Tiny::classifier());
    Tiny::base().write_to(&folder.path("base"));
    folder.write("empty.tsv", "");
    folder.write("other.tsv", "bad\tno\ngood film\tmaybe\n");
    folder.write("latin.tsv", b"caf\xe9\tyes\nbad\tno\n");
    let cases = [
        (
            ["base", "dev.tsv"],
            "base has no classification head, so it predicts nothing yet; train one: finetune train --model base --train FILE",
        ),
        (["nowhere", "dev.tsv"], "--model: there is no directory nowhere"),
        (["model", "empty.tsv"], "empty.tsv: has no examples"),
        (["model", "other.tsv"], "other.tsv:2: unknown label \"maybe\"; the known labels are no, yes"),
        (
            ["model", "latin.tsv"],
            "latin.tsv:1: not valid UTF-8, from byte 4 of the line or cell on; if the file is Latin-1, `iconv -f ISO-8859-1 \
             -t UTF-8 latin.tsv > utf8-latin.tsv` makes UTF-8 of it",
        ),
    ];
    for ([model, data], message) in cases {
        let ran = folder.finetune(&["evaluate", "--model", model, "--data", data]);
        assert_eq!((ran.code, ran.error().as_str()), (Some(1), message));
    }
}
