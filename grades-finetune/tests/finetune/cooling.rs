//! Runs whose components cool before they freeze, and policies that read accumulated batches.

use grades::policy::Measure;
use grades::statistic::Statistic;
use grades::tracker::{FreezeEvent, Transition};
use grades_finetune::config::{Document, RunConfig, ScheduleName};
use grades_finetune::records::StopReason;

use crate::support::{Folder, Run};

/// Freezes at the first check at which it has an answer: the fourth, as one step alone tells nothing.
const AT_ONCE: &str = r#"freezing.policy={ name = "signal-fraction", floor = 1, window = 3, hits = 1 }"#;

/// The learning rate of each step.
fn learning_rates(run: &Run) -> Vec<f64> {
    run.log.steps.iter().map(|step| step.learning_rate).collect()
}

/// The events of a run, with their steps.
fn events(run: &Run) -> Vec<(Transition, u64)> {
    run.files.freezes().iter().map(|event| (event.event, event.step)).collect()
}

fn schedule(run: &Run) -> String {
    run.files.config()["schedule"]["name"].as_str().unwrap().to_owned()
}

#[test]
fn an_empty_freezing_table_cools_and_keeps_the_learning_rate_until_all_is_frozen() {
    let folder = Folder::new();
    folder.set_freezing("[freezing]\n");
    let run = folder.run(&["training.epochs=16", "optimizer.lr=0.01"]);
    assert_eq!(schedule(&run), "until-frozen");
    let summary = &run.summary;
    // Components that find no end of their own begin to cool halfway, with as many steps left as went before.
    assert_eq!((summary.steps.planned_steps, summary.ended), (48, StopReason::AllFrozen));
    assert_eq!(summary.freezing.components_frozen, 12);
    assert!(summary.freezing.last_freeze.unwrap() <= 48, "{summary:?}");
    let rates = learning_rates(&run);
    assert!(rates[3..].iter().all(|rate| *rate == 0.01), "{rates:?}");
}

#[test]
fn components_cool_for_as_long_as_they_have_trained_and_then_freeze() {
    let folder = Folder::new();
    let ran = folder.trained(&["--epochs", "4", "--set", AT_ONCE]);
    let files = folder.files("base");
    let freezes = files.freezes();
    let expected: Vec<_> = [(Transition::Cool, 4), (Transition::Freeze, 8)]
        .into_iter()
        .flat_map(|event| vec![event; 12])
        .collect();
    assert_eq!(freezes.iter().map(|event| (event.event, event.step)).collect::<Vec<_>>(), expected);
    let (cooling, frozen): (Vec<usize>, Vec<usize>) =
        files.steps().iter().map(|step| (step.components.cooling, step.components.frozen)).unzip();
    assert_eq!(cooling, [0, 0, 0, 12, 12, 12, 12, 0]);
    assert_eq!(frozen, [0, 0, 0, 0, 0, 0, 0, 12]);
    for line in ["step 4: cooling bert.encoder.layer.0", "step 8: froze bert.encoder.layer.0", "and 9 more"] {
        assert!(ran.stderr.contains(line), "{line}: {}", ran.stderr);
    }
    let cause = |event: &FreezeEvent| {
        (event.component.clone(), event.policy.clone(), event.statistic, event.value.to_bits())
    };
    assert_eq!(cause(&freezes[0]), cause(&freezes[12]), "a freeze has the cause of its cooling");
    assert_eq!(
        (freezes[0].policy.as_ref(), freezes[0].statistic),
        ("signal-fraction", Measure::Statistic(Statistic::SignalFraction))
    );
}

#[test]
fn the_summary_counts_freezes_and_not_what_began_to_cool() {
    let folder = Folder::new();
    let run = folder.run(&["training.epochs=3", AT_ONCE, "freezing.cooldown=4"]);
    let freezing = run.summary.freezing;
    assert_eq!((freezing.first_freeze, freezing.last_freeze), (Some(8), Some(8)));
    assert_eq!((run.summary.steps.steps, freezing.components_frozen), (8, 12));

    let run = folder.run(&["training.epochs=2", AT_ONCE, "freezing.cooldown=4"]);
    assert_eq!((run.summary.ended, run.summary.freezing.components_frozen), (StopReason::AllFrozen, 12));
    // The deadline: at step 2 of 6 there are 4 steps left.
    assert_eq!(events(&run)[0], (Transition::Cool, 2));
    assert_eq!(run.files.freezes()[0].policy, "deadline");

    let cut = ["training.epochs=3", "training.max_steps=9", AT_ONCE, "freezing.grace=1"];
    let run = folder.run(&[&cut[..], &["freezing.cooldown=1"]].concat());
    assert_eq!(events(&run), [], "in the grace period the deadline does not act either");
    assert_eq!(run.summary.freezing.first_freeze, None);
}

#[test]
fn the_default_schedule_falls_unless_components_cool() {
    let folder = Folder::new();
    let cases: [(&[&str], ScheduleName); 7] = [
        (&[], ScheduleName::Linear),
        (&["freezing.cooldown=2"], ScheduleName::UntilFrozen),
        (&["freezing.cooldown={ share = 0.5 }"], ScheduleName::UntilFrozen),
        (&[AT_ONCE], ScheduleName::UntilFrozen),
        (&[AT_ONCE, "freezing.cooldown=0"], ScheduleName::Linear),
        (&[AT_ONCE, "freezing.cooldown={ share = 0 }"], ScheduleName::Linear),
        (&[AT_ONCE, "schedule.name=linear"], ScheduleName::Linear),
    ];
    for (assignments, expected) in cases {
        let mut document = Document::parse(&folder.text("base.toml")).unwrap();
        for assignment in assignments {
            document.set(assignment).unwrap();
        }
        let config = RunConfig::read(document.table()).unwrap();
        assert_eq!(config.schedule.name, expected, "{assignments:?}");
    }
}

#[test]
fn until_frozen_can_be_asked_for_by_name() {
    let folder = Folder::new();
    let sets = ["optimizer.lr=0.01", "schedule.name=until-frozen", "schedule.warmup=0"];
    assert_eq!(learning_rates(&folder.run(&sets)), [0.01; 6]);
    folder.set_freezing("");
    let run = folder.run(&sets);
    assert_eq!(learning_rates(&run), [0.01; 6]);
    assert_eq!(schedule(&run), "until-frozen");
}

#[test]
fn a_cooldown_is_set_by_its_key_and_has_its_length() {
    struct Case {
        cooldown: &'static str,
        freeze: u64,
        events: usize,
    }
    let folder = Folder::new();
    for Case { cooldown, freeze, events: count } in [
        Case { cooldown: "3", freeze: 7, events: 24 },
        Case { cooldown: "{ share = 0.25 }", freeze: 5, events: 24 },
        Case { cooldown: "0", freeze: 4, events: 12 },
    ] {
        let run = folder.run(&["training.epochs=4", AT_ONCE, &format!("freezing.cooldown={cooldown}")]);
        let found = events(&run);
        assert_eq!(found.last(), Some(&(Transition::Freeze, freeze)), "{cooldown}");
        assert_eq!(found.len(), count, "{cooldown}");
    }
}

#[test]
fn two_batches_of_a_step_are_compared() {
    let folder = Folder::new();
    let policy = r#"freezing.policy={ name = "two-batch", floor = 1, window = 2, hits = 1 }"#;
    let sets =
        ["training.epochs=2", "training.batch_size=4", policy, "freezing.cooldown=1", "freezing.grace=0"];
    let run = folder.run(&[&sets[..], &["training.gradient_accumulation_steps=2"]].concat());
    assert_eq!(run.summary.ended, StopReason::AllFrozen);
    let first = &run.files.freezes()[0];
    let statistic = Measure::Statistic(Statistic::TwoBatchSignal);
    assert_eq!((first.policy.as_ref(), first.statistic), ("two-batch", statistic));
    assert_eq!((first.event, first.step), (Transition::Cool, 2));

    let error = folder.run_refused(&sets);
    let expected = "training.gradient_accumulation_steps: is 1, so each step has one batch; the policy compares the first \
                    batch of a step with all of them (statistic two-batch-signal): set at least 2";
    assert_eq!(error, expected);
}

#[test]
fn a_step_of_a_single_batch_is_left_out_of_the_comparison() {
    let folder = Folder::new();
    // 24 examples are batches of 5, 5, 5, 5 and 4: the third step of an epoch has one.
    let policy = r#"freezing.policy={ name = "two-batch", floor = 1, window = 3, hits = 1 }"#;
    let sets = ["training.batch_size=5", "training.gradient_accumulation_steps=2"];
    let run = folder.run(&[&sets[..], &[policy, "freezing.cooldown=0"]].concat());
    // Samples at steps 1, 2 and 4.
    assert_eq!(events(&run), vec![(Transition::Freeze, 4); 12]);
}

#[test]
fn sgd_without_momentum_cannot_tell_signal_from_noise() {
    let folder = Folder::new();
    folder.set_freezing("[freezing]\n");
    let sgd = ["training.epochs=7", "optimizer.name=sgd"];
    folder.run(&sgd);
    let error = folder.run_refused(&[&sgd[..], &["optimizer.momentum=0"]].concat());
    let expected =
        "the statistic signal-fraction with the optimizer \"sgd\": it has no momentum that can be read";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_window_that_is_given_must_fit_into_the_run() {
    let folder = Folder::new();
    folder.set_freezing("[freezing]\n");
    let policy = "freezing.policy={ name = 'signal-fraction', window = 20 }";
    let error = folder.run_refused(&["training.max_steps=5", policy]);
    assert_eq!(error, "freezing.policy.window: 20 checks are more than the 5 that the run has");
}
