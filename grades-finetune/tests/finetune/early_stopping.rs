//! Runs that end by their evaluations.

use grades_finetune::config::{EarlyStoppingConfig, Interval};
use grades_finetune::records::{EvalRecord, Metric, StopReason, Summary};
use grades_finetune::train::{Patience, Verdict};

use crate::support::{Folder, RunFiles, Tiny, examples};
use crate::tolerance::{FORMULA, assert_number_within};

/// Every other step is evaluated, and the learning rate neither rises nor falls, so that shorter runs begin alike.
const STEADY: [&str; 5] = [
    "training.epochs=4",
    "optimizer.lr=0.02",
    "schedule={ name = \"constant\", warmup = 0 }",
    "training.eval_every=2",
    "early_stopping.patience=2",
];

/// A training set that contradicts the evaluation set: the longer the model trains, the worse it gets there.
fn folder() -> Folder {
    let folder = Folder::with(&Tiny::base().without_dropout());
    let wrong = examples(8).replace("yes", "?").replace("no\n", "yes\n").replace('?', "no");
    folder.write("dev.tsv", wrong);
    folder
}

/// The steps of evaluations, and whether each is the final one.
fn steps(evals: &[EvalRecord]) -> Vec<(u64, bool)> {
    evals.iter().map(|eval| (eval.step, eval.is_final)).collect()
}

/// The evaluation after a step.
fn after(step: Option<u64>, evals: &[EvalRecord]) -> &EvalRecord {
    evals.iter().find(|eval| Some(eval.step) == step).unwrap()
}

#[test]
fn patience_counts_evaluations_that_are_not_better() {
    struct Case {
        metric: Metric,
        patience: u64,
        min_delta: f64,
        values: &'static [f64],
        /// The value, counted from 1, at which the run ends.
        end: Option<usize>,
        /// The best value, counted from 1; 0 for none.
        best: u64,
    }
    const NAN: f64 = f64::NAN;
    let loss = |patience, values| Case {
        metric: Metric::Loss,
        patience,
        min_delta: 0.0,
        values,
        end: None,
        best: 0,
    };
    let accuracy = |patience, values| Case { metric: Metric::Accuracy, ..loss(patience, values) };
    let cases = [
        Case { best: 3, ..loss(1, &[3.0, 2.0, 1.0]) },
        Case { end: Some(2), best: 1, ..loss(1, &[3.0, 3.0]) },
        Case { end: Some(5), best: 3, ..loss(2, &[3.0, 4.0, 2.0, 2.5, 2.2]) },
        Case { end: Some(5), best: 3, ..accuracy(2, &[0.5, 0.4, 0.6, 0.6, 0.6]) },
        Case { best: 4, ..accuracy(2, &[0.5, 0.6, 0.55, 0.65, 0.6]) },
        // Too little better counts as no better, but such weights are the best all the same.
        Case { min_delta: 0.1, end: Some(3), best: 3, ..loss(2, &[1.0, 0.95, 0.92]) },
        // Small steps add up until they count: 1.0 to 0.88.
        Case { min_delta: 0.1, best: 6, ..loss(3, &[1.0, 0.96, 0.92, 0.88, 0.85, 0.84]) },
        Case { min_delta: 0.0625, end: Some(3), best: 2, ..accuracy(2, &[0.5, 0.5625, 0.52]) },
        Case { end: Some(2), ..loss(2, &[NAN, NAN]) },
        Case { best: 4, ..loss(2, &[NAN, 1.0, NAN, 0.5]) },
        Case { best: 2, ..loss(2, &[f64::INFINITY, 1.0]) },
    ];
    for Case { metric, patience, min_delta, values, end, best } in cases {
        let config = EarlyStoppingConfig { metric, patience, min_delta, restore_best: true };
        let mut patience = Patience::new(config);
        let verdicts: Vec<Verdict> =
            (1..).zip(values).map(|(step, value)| patience.add(step, *value)).collect();
        let ended = verdicts.iter().position(|verdict| verdict.stop).map(|at| at + 1);
        assert_eq!(ended, end, "{config:?} {values:?}");
        assert_eq!(patience.best_step().unwrap_or(0), best, "{config:?} {values:?}");
        let last_best = verdicts.iter().rposition(|verdict| verdict.is_best).map_or(0, |at| at as u64 + 1);
        assert_eq!(last_best, best);
    }
}

#[test]
fn intervals_are_steps_or_shares_of_an_epoch() {
    struct Case {
        interval: Interval,
        /// The steps of an epoch.
        epoch: u64,
        steps: Option<u64>,
    }
    for Case { interval, epoch, steps } in [
        Case { interval: Interval::Never, epoch: 10, steps: None },
        Case { interval: Interval::Steps(3), epoch: 10, steps: Some(3) },
        Case { interval: Interval::EpochShare(0.1), epoch: 217, steps: Some(22) },
        Case { interval: Interval::EpochShare(0.5), epoch: 7, steps: Some(4) },
        Case { interval: Interval::EpochShare(1.0), epoch: 7, steps: Some(7) },
        Case { interval: Interval::EpochShare(0.001), epoch: 7, steps: Some(1) },
    ] {
        assert_eq!(interval.steps(epoch), steps, "{interval:?}");
    }
}

#[test]
fn a_run_ends_with_the_weights_of_its_best_evaluation_bit_for_bit() {
    let folder = folder();
    let stopped = folder.run(&STEADY);
    let summary = &stopped.summary;
    let best = summary.best.best_step.unwrap();
    assert_eq!((summary.ended, summary.steps.steps), (StopReason::EarlyStopped, best + 4));
    assert_eq!(summary.best.restored_step, Some(best));
    let evals = stopped.files.evals();
    let all: Vec<(u64, bool)> =
        (2..=best + 4).step_by(2).map(|step| (step, false)).chain([(best + 4, true)]).collect();
    assert_eq!(steps(&evals), all);
    assert_eq!(summary.steps.validations, all.len() as u64 - 1);
    let last_best = evals.iter().rfind(|eval| eval.best == Some(true)).unwrap();
    assert_eq!(last_best.step, best);
    let last = evals.last().unwrap();
    assert_eq!(last.best, None);
    let loss = last.evaluation.loss;
    assert_eq!(loss, last_best.evaluation.loss, "what is evaluated at the end are the best weights");
    assert_eq!(summary.eval.loss, Some(loss));
    assert!(evals[evals.len() - 2].evaluation.loss > loss);

    // A run that merely ends at the best step.
    let short = [&format!("training.max_steps={best}"), "early_stopping.patience=9"];
    let short = folder.run(&[&STEADY[..], &short].concat());
    assert_eq!((short.summary.ended, short.summary.best.restored_step), (StopReason::AllSteps, None));
    assert_eq!(stopped.files.parameters(), short.files.parameters());

    // Without restoring, the last ones.
    let last = folder.run(&[&STEADY[..], &["early_stopping.restore_best=false"]].concat());
    assert_eq!(last.summary.steps.steps, summary.steps.steps);
    assert_ne!(last.files.parameters(), stopped.files.parameters());
    let evals = last.files.evals();
    assert_eq!(evals[evals.len() - 1].evaluation.loss, evals[evals.len() - 2].evaluation.loss);
}

#[test]
fn what_froze_after_the_best_evaluation_is_put_back_too() {
    let folder = folder();
    // Attention freezes at step 5, after the best evaluation.
    let freezing = r#"freezing={ grace = 0.3, policy = { name = "per-component-type", default = { name = "fixed-threshold", tau = 1e-9 }, attention = { name = "fixed-threshold", tau = 1e9 } } }"#;
    let stopped = folder.run(&[&STEADY[..], &[freezing]].concat());
    let summary = &stopped.summary;
    let best = summary.best.restored_step.unwrap();
    assert_eq!(summary.ended, StopReason::EarlyStopped);
    assert_eq!((summary.freezing.first_freeze, summary.freezing.components_frozen), (Some(5), 8));
    assert!(best < 5, "{summary:?}");
    let flops = summary.flops;
    assert!(flops.flops < flops.flops_without_freezing, "steps after the freeze take less: {flops:?}");
    let short = [&format!("training.max_steps={best}"), freezing, "freezing.grace=1"];
    let short = folder.run(&[&STEADY[..], &short].concat());
    assert_eq!(stopped.files.parameters(), short.files.parameters());
}

#[test]
fn adapters_that_were_merged_after_the_best_evaluation_are_put_back_too() {
    let folder = folder();
    for dora in ["lora.use_dora=false", "lora.use_dora=true"] {
        let freezing = r#"freezing={ grace = 0.3, policy = { name = "fixed-threshold", tau = 1e9 } }"#;
        let own = ["lora.r=2", "lora.merge_frozen=true", dora, freezing];
        let run = folder.run(&[&STEADY[..], &own].concat());
        // All is frozen at step 5, and evaluated once more.
        assert_eq!((run.summary.ended, run.summary.steps.steps), (StopReason::AllFrozen, 5), "{dora}");
        let evals = run.files.evals();
        assert_eq!(steps(&evals), [(2, false), (4, false), (5, false), (5, true)], "{dora}");
        let best = after(run.summary.best.restored_step, &evals).evaluation.loss;
        assert_ne!(evals[2].evaluation.loss, best, "{dora}");
        assert_eq!(evals[3].evaluation.loss, best, "{dora}");
    }
}

#[test]
fn averages_are_judged_like_any_weights_and_do_not_come_over_the_best_ones() {
    struct Case {
        patience: u64,
        max_steps: u64,
        /// The steps of the run, where they do not depend on its losses.
        steps: Option<u64>,
    }
    let folder = folder();
    // All cools from step 4 on, by averaging, for as long as went before: it freezes at step 8, or does not come to it.
    let freezing = r#"freezing={ cooling = "average", policy = { name = "signal-fraction", floor = 1, window = 3, hits = 1 } }"#;
    for (name, Case { patience, max_steps, steps }) in [
        ("stopped", Case { patience: 1, max_steps: 12, steps: None }),
        ("frozen", Case { patience: 9, max_steps: 12, steps: Some(8) }),
        ("cut", Case { patience: 9, max_steps: 6, steps: Some(6) }),
    ] {
        let own =
            [&format!("early_stopping.patience={patience}"), &format!("training.max_steps={max_steps}")];
        let run = folder.run(&[&STEADY[..], &[freezing, own[0], own[1]]].concat());
        assert_eq!(run.summary.steps.steps, steps.unwrap_or(run.summary.steps.steps), "{name}");
        let evals = run.files.evals();
        let best = after(run.summary.best.best_step, &evals);
        let last = evals.last().unwrap();
        assert_eq!((last.is_final, last.evaluation.loss), (true, best.evaluation.loss), "{name}");
    }
}

#[test]
fn evaluations_come_ten_times_an_epoch_and_change_nothing() {
    let folder = Folder::new();
    let plain = folder.run(&[]);
    folder.trained(&["--name", "watched", "--early-stopping", "--set", "early_stopping.patience=99"]);
    let watched = folder.files("watched");
    // Three steps an epoch: every one; and of the last step's weights, which early stopping has to judge, too.
    let all: Vec<(u64, bool)> = (1..=6).map(|step| (step, false)).chain([(6, true)]).collect();
    let evals = watched.evals();
    assert_eq!(steps(&evals), all);
    assert_eq!(steps(&plain.files.evals()), [(6, true)]);
    let losses = |run: &RunFiles| -> Vec<f64> { run.steps().iter().map(|step| step.loss).collect() };
    assert_eq!(losses(&plain.files), losses(&watched));
    let Summary { time, flops, .. } = watched.summary();
    assert!(time.validation_seconds > 0.0 && time.eval_seconds > time.validation_seconds);
    assert!(time.wall_seconds > time.eval_seconds + time.train_seconds);
    // Six evaluations between steps, of the same sentences, and the final one.
    let each = evals[0].evaluation.flops;
    assert!(each > 0 && evals.iter().all(|eval| eval.evaluation.flops == each));
    let sums: Vec<u128> = evals.iter().map(|eval| eval.validation_flops).collect();
    assert_eq!(sums, [1, 2, 3, 4, 5, 6, 6].map(|count| count * each));
    assert_eq!(flops.validation_flops, 6 * each);
    // Whoever stops early pays for them, whoever does not has none to pay for.
    assert_eq!(flops.cost_flops, Some(flops.flops + 6 * each));
    let cost = time.wall_seconds - time.eval_seconds + time.validation_seconds;
    assert_number_within(time.cost_seconds.unwrap(), cost, FORMULA, "cost_seconds");
    assert_eq!(plain.summary.flops.cost_flops, Some(plain.summary.flops.flops));
    let config = watched.config();
    assert_eq!(config["training"]["eval_every"].as_float(), Some(0.1));
    assert_eq!(config["early_stopping"]["metric"].as_str(), Some("loss"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new();
    for (assignments, message) in [
        (
            &["early_stopping={}", "data={ train = \"train.tsv\" }"][..],
            "early_stopping: needs examples for evaluation: give data.eval as well",
        ),
        (
            &["early_stopping={}", "training.eval_every=0"],
            "training.eval_every: is 0, so nothing is evaluated in time",
        ),
        (
            &["early_stopping.patience=0"],
            "early_stopping.patience: expected a whole number, at least 1, found 0",
        ),
        (
            &["early_stopping.metric=los"],
            "early_stopping.metric: unknown metric \"los\" (did you mean \"loss\"?); known: loss, accuracy",
        ),
        (
            &["early_stopping.min_delta=-1"],
            "early_stopping.min_delta: expected a number of at least 0, found -1",
        ),
        (&["early_stopping.patiense=3"], "early_stopping.patiense: unknown key (did you mean \"patience\"?)"),
        (
            &["training.eval_every=1.5"],
            "training.eval_every: expected a whole number of steps, 0 for never, or a share of an epoch",
        ),
        (&["training.step_fraction=0"], "training.step_fraction: expected a share above 0, up to 1, found 0"),
    ] {
        let error = folder.run_refused(assignments);
        assert!(error.contains(message), "{assignments:?}: {error}");
    }
}
