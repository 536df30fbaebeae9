//! Budgets, passes over the data in which nothing freezes, and what a run says of its freezes beforehand.

use grades::tracker::Transition;
use grades_finetune::records::StopReason;

use crate::decoder::llama;
use crate::support::{Folder, Run};

/// The FLOPs of all steps of a run.
fn flops(run: &Run) -> f64 {
    run.log.steps.iter().map(|step| step.work.flops as f64).sum()
}

fn steps_of(run: &Run, event: Transition) -> Vec<u64> {
    let freezes = run.files.freezes();
    let mut steps: Vec<u64> =
        freezes.iter().filter(|found| found.event == event).map(|found| found.step).collect();
    steps.dedup();
    steps
}

#[test]
fn a_run_costs_its_budget_within_three_points() {
    let classifier = || {
        let folder = Folder::new();
        folder.set_freezing("");
        folder
    };
    for (folder, epochs) in [(classifier(), 16), (llama(), 48)] {
        let epochs = format!("training.epochs={epochs}");
        let full = flops(&folder.run(&["output.name=full", &epochs]));
        for budget in [0.3, 0.6, 0.85, 1.0] {
            let name = format!("output.name=budget-{budget}");
            let run = folder.run(&[&name, &epochs, &format!("freezing.budget={budget}")]);
            let share = flops(&run) / full;
            assert!((share - budget).abs() < 0.03, "{share} of {budget}");
            assert_eq!(run.summary.ended, StopReason::AllFrozen);
            let (cooled, frozen) = (steps_of(&run, Transition::Cool), steps_of(&run, Transition::Freeze));
            // The lowest block goes first, and each cools for as long as it has trained.
            let halves: Vec<u64> = frozen.iter().map(|step| step / 2).collect();
            assert!(cooled.is_sorted() && frozen.is_sorted(), "{budget}");
            assert_eq!(cooled, halves, "{budget}");
        }
    }
}

#[test]
fn a_budget_is_told_before_the_run_and_one_that_is_too_low_refused() {
    let folder = Folder::new();
    folder.set_freezing("[freezing]\nbudget = 0.5\n");
    let ran = folder.trained(&["--epochs", "8"]);
    for part in
        ["freezing.budget: ", " % of the full run's cost: the lowest block cools from step ", " of 24"]
    {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    let table = &folder.files("base").config()["freezing"];
    assert_eq!(
        (table["budget"].as_float(), table.get("policy"), table.get("grace")),
        (Some(0.5), None, None)
    );
    let refused = folder.finetune(&["train", "--config", "base.toml", "--set", "freezing.budget=0.01"]);
    assert!(refused.stderr.contains("budget: 0.01 cannot be met: the least is "), "{}", refused.stderr);
}

#[test]
fn a_resumed_run_keeps_its_budget() {
    let folder = Folder::new();
    folder.set_freezing("[freezing]\nbudget = 0.5\n");
    let whole = folder.run(&["output.name=whole", "training.epochs=8"]);
    for last in [3, 8] {
        let name = format!("output.name=cut-{last}");
        let assignments = [name.as_str(), "training.epochs=8", "checkpoint.every=1"];
        let cut = Run::train(&folder, &assignments, Some(last)).unwrap();
        Run::resume(&folder, &cut.files, &assignments).unwrap().unwrap();
        assert_eq!(cut.files.parameters(), whole.files.parameters(), "{last}");
        assert_eq!(cut.files.freezes(), whole.files.freezes(), "{last}");
    }
}

#[test]
fn nothing_cools_before_the_passes_over_the_data_are_over() {
    let folder = Folder::new();
    let policy = "policy = { name = \"signal-fraction\", floor = 1, window = 3, hits = 1 }";
    folder.set_freezing(&format!("[freezing]\ngrace = {{ epochs = 4 }}\n{policy}\n"));
    let run = folder.run(&["training.epochs=16"]);
    assert_eq!(steps_of(&run, Transition::Cool), [13]);
    assert_eq!(steps_of(&run, Transition::Freeze), [26]);
    let grace = &run.files.config()["freezing"]["grace"];
    assert_eq!(grace["epochs"].as_float(), Some(4.0));
}

#[test]
fn a_run_that_is_too_short_to_decide_says_so_in_one_line() {
    let line = "the run is too short for its policy to end it sooner: from step 3 of 6 on all components cool, so that they \
                are frozen in time, and the policy decides from step ";
    let folder = Folder::new();
    folder.set_freezing("[freezing]\n");
    let ran = folder.trained(&[]);
    assert_eq!(ran.stderr.matches(line).count(), 1, "{}", ran.stderr);
    let long = folder.trained(&["--name", "long", "--epochs", "30"]);
    assert!(!long.stderr.contains("too short"), "{}", long.stderr);
}
