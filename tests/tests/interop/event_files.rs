//! TensorBoard reads our event files: every scalar and every text, also of a run that went on in a second file.

use std::path::Path;

use grades::FreezingConfig;
use grades::component::{Component, ComponentKind};
use grades::policy::{Cause, Measure};
use grades::statistic::Statistic;
use grades::tracker::{Checked, FreezeTracker, StepReport};
use grades_finetune::log::tensorboard::{EventFile, TensorBoard};
use grades_finetune::log::{Event, Logger};
use grades_finetune::records::{ComponentCounts, EvalRecord, Evaluation, StepMemory, StepRecord, StepWork};
use serde_json::{Value, json};

use crate::python::{run_script, skipped};

fn read(folder: &Path) -> Value {
    run_script("tests/python/event_files.py", &["tensorboard"], &json!({"folder": folder}))
}

fn record(step: u64) -> StepRecord {
    StepRecord {
        step,
        epoch: 1,
        loss: 1.0 / step as f64,
        learning_rate: 1e-4 * step as f64,
        grad_norm: (step > 1).then_some(0.5),
        work: StepWork { examples: 8, tokens: 64, flops: 1_000, cache_flops: 0, seconds: 0.25 * step as f64 },
        components: ComponentCounts { cooling: 1, frozen: 0 },
        memory: StepMemory { memory_bytes: Some(1 << 30), training_bytes: 1 << 20, cache_bytes: 0 },
        skipped: None,
    }
}

fn evaluation(step: u64) -> EvalRecord {
    EvalRecord {
        step,
        is_final: false,
        best: None,
        train_seconds: 1.0,
        validation_seconds: 1.0,
        wall_seconds: 2.0,
        flops: 1_000,
        validation_flops: 500,
        evaluation: Evaluation {
            loss: 0.5,
            accuracy: Some(0.875),
            examples: 8,
            flops: 500,
            seconds: 1.0,
            ..Evaluation::default()
        },
    }
}

/// The steps and values of a tag, values as f32, which is what files hold.
fn scalars(answer: &Value, tag: &str) -> Vec<(u64, f32)> {
    let list = answer["scalars"][tag].as_array().unwrap_or_else(|| panic!("{tag} in {answer}"));
    list.iter().map(|pair| (pair[0].as_u64().unwrap(), pair[1].as_f64().unwrap() as f32)).collect()
}

#[test]
fn tensorboard_reads_the_events_of_a_run() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let components = [
        Component::detached("layers.0.query", ComponentKind::Query, Some(0), 4),
        Component::detached("layers.1.query", ComponentKind::Query, Some(1), 4),
        Component::detached("layers.1.up <é>", ComponentKind::Up, Some(1), 4),
    ];
    let file = EventFile::create(dir.path(), 1).unwrap();
    let mut tensorboard = TensorBoard::new(file, &components);
    let cause = |value| {
        let measure = Measure::Statistic(Statistic::GradL1);
        Some(Cause::new("fixed-threshold", measure, value, 0.5))
    };
    for step in 1..=3 {
        let mut report = StepReport::new(step, 10, 3);
        let mut checked = Checked::new(step);
        checked.compared = vec![cause(step as f64), cause(2.0), if step == 2 { None } else { cause(0.75) }];
        report.checked = Some(checked);
        if step == 3 {
            report.events = events();
        }
        tensorboard.log(&Event::Report(&report)).unwrap();
        tensorboard.log(&Event::Step(&record(step))).unwrap();
    }
    tensorboard.log(&Event::Evaluation(&evaluation(3))).unwrap();

    // Read while the file is still open, as TensorBoard does.
    let answer = read(dir.path());
    assert_eq!(scalars(&answer, "train/loss"), [(1, 1.0), (2, 0.5), (3, (1.0 / 3.0) as f32)]);
    assert_eq!(scalars(&answer, "train/learning_rate"), [(1, 1e-4), (2, 2e-4), (3, 3e-4)]);
    assert_eq!(scalars(&answer, "train/grad_norm"), [(2, 0.5), (3, 0.5)]);
    assert_eq!(scalars(&answer, "train/step_seconds"), [(1, 0.25), (2, 0.25), (3, 0.25)]);
    assert_eq!(scalars(&answer, "freezing/cooling"), [1, 2, 3].map(|step| (step, 1.0 / 3.0)));
    assert_eq!(scalars(&answer, "memory/process_bytes")[0], (1, (1u64 << 30) as f32));
    assert_eq!(scalars(&answer, "grad-l1/layers.0.query"), [(1, 1.0), (2, 2.0), (3, 3.0)]);
    assert_eq!(scalars(&answer, "grad-l1/layers.1.up <é>"), [(1, 0.75), (3, 0.75)]);
    assert_eq!(scalars(&answer, "grad-l1 by kind/query"), [(1, 1.5), (2, 2.0), (3, 2.5)]);
    assert_eq!(scalars(&answer, "eval/accuracy"), [(3, 0.875)]);
    let text = "- **froze** `model.layers.0.self_attn.q_proj`: grad-l1 0.250000 against 0.500000 (below)\n\
                - **froze** `model.layers.1.self_attn.q_proj`: grad-l1 0.125000 against 0.500000 (below)";
    assert_eq!(answer["texts"], json!({"freezes": [[2, text]]}));
}

#[test]
fn what_is_repeated_after_a_resume_counts_once() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut first = EventFile::create(dir.path(), 1).unwrap();
    for step in 1..=5 {
        first.scalars(step, [("train/loss".to_owned(), step as f64)]).unwrap();
    }
    first.flush().unwrap();
    // A run that is killed may leave half a record.
    let path = first.path().to_path_buf();
    drop(first);
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() - 7;
    bytes.truncate(half);
    std::fs::write(&path, bytes).unwrap();

    let mut second = EventFile::create(dir.path(), 3).unwrap();
    assert!(second.path() > path.as_path(), "it comes after the first by name");
    for step in 3..=4 {
        second.scalars(step, [("train/loss".to_owned(), step as f64 * 10.0)]).unwrap();
    }
    second.flush().unwrap();
    assert_eq!(scalars(&read(dir.path()), "train/loss"), [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]);
}

/// Two freezes at step 2, by a tracker.
fn events() -> Vec<grades::tracker::FreezeEvent> {
    use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
    use grades::statistic::{ComponentSample, GradientSnapshot};
    let names = [0, 1].map(|layer| format!("model.layers.{layer}.self_attn.q_proj.weight"));
    let parameters = names.map(|name| ParameterInfo::new(name, [2, 2]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    let mut tracker = FreezeTracker::new(map, &FreezingConfig::new(Below), 9).unwrap();
    let sample = |value| Some(ComponentSample::from_gradient(&[value]));
    tracker.check(&GradientSnapshot::new(1, vec![sample(0.25), sample(0.125)]));
    tracker.check(&GradientSnapshot::new(2, vec![sample(0.25), sample(0.125)])).events
}

#[derive(Debug, Clone)]
struct Below;

impl grades::policy::FreezePolicy for Below {
    fn name(&self) -> &'static str {
        "below"
    }

    fn statistics(&self) -> grades::statistic::StatisticSet {
        grades::statistic::StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, observation: &grades::policy::Observation<'_>) -> grades::policy::Decision {
        let value = observation.value(Statistic::GradL1).unwrap_or(f64::NAN);
        grades::policy::Decision::freeze_below(self.name(), Statistic::GradL1, value, 0.5)
    }
}
