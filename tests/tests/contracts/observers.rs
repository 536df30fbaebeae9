//! Observers of a real run.

use std::sync::{Arc, Mutex};

use grades::observe::FreezeLog;
use grades::tracker::StepReport;
use grades::{Error, FreezingConfig, FreezingOptimizer, Problems};
use grades_tests::{FreezeAt, Spec, TinyBert, snapshot};

use crate::optimizers;

/// A writer whose bytes a test can look at while the log holds it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_of_a_run_has_one_line_per_freeze() {
    let model = TinyBert::new(Spec::default());
    let written = Shared::default();
    let config = FreezingConfig::new(FreezeAt::new([("self.query", 2), ("layer.0", 4)]));
    let mut optimizer = FreezingOptimizer::new(optimizers::fused_adamw(&model.vs), &model.vs, &config, 20)
        .unwrap()
        .with_observer(FreezeLog::new("freezes.jsonl", written.clone()));
    for batch in 1..=5 {
        optimizer.backward_step(&model.loss(batch)).unwrap();
    }
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let frozen: Vec<_> = lines
        .iter()
        .map(|line| {
            (line["step"].as_u64().unwrap(), line["layer"].as_u64().unwrap(), line["kind"].as_str().unwrap())
        })
        .collect();
    let expected = [
        (2, 0, "query"),
        (2, 1, "query"),
        (4, 0, "key"),
        (4, 0, "value"),
        (4, 0, "output"),
        (4, 0, "up"),
        (4, 0, "down"),
    ];
    assert_eq!(frozen, expected);
    assert_eq!(lines[0]["component"], "encoder.layer.0.attention.self.query");
    assert_eq!(lines[0]["parameters"], 64);
}

#[test]
fn an_observer_that_fails_is_left_out_and_the_training_goes_on() {
    let run = |failing: bool| {
        let model = TinyBert::new(Spec::default());
        let calls = Arc::new(Mutex::new((0, 0)));
        let (first, second) = (Arc::clone(&calls), Arc::clone(&calls));
        let config = FreezingConfig::new(FreezeAt::new([("layer.0", 2)]));
        let mut optimizer =
            FreezingOptimizer::new(optimizers::fused_adamw(&model.vs), &model.vs, &config, 20)
                .unwrap()
                .with_observer(move |report: &StepReport| {
                    first.lock().unwrap().0 += 1;
                    match failing && report.step == 2 {
                        true => Err(Error::Config(Problems::of("disk", "is full"))),
                        false => Ok(()),
                    }
                })
                .with_observer(move |_: &StepReport| {
                    second.lock().unwrap().1 += 1;
                    Ok(())
                });
        for batch in 1..=4 {
            optimizer.backward_step(&model.loss(batch)).unwrap();
        }
        let errors: Vec<String> = optimizer.take_observer_errors().iter().map(Error::to_string).collect();
        assert!(optimizer.take_observer_errors().is_empty(), "handed over once");
        let calls = *calls.lock().unwrap();
        (calls, errors, snapshot(&model.vs))
    };
    let (calls, errors, bits) = run(true);
    assert_eq!((calls, errors.as_slice()), ((2, 4), ["disk: is full".to_owned()].as_slice()));
    let (calls, errors, same) = run(false);
    assert_eq!((calls, errors.len()), ((4, 4), 0));
    assert_eq!(bits, same);
}

#[test]
fn an_observer_sees_what_policies_compare_early_and_late() {
    for late in [false, true] {
        let model = TinyBert::new(Spec::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let config = FreezingConfig::new(FreezeAt::new([("self.query", 2)]));
        let mut optimizer =
            FreezingOptimizer::new(optimizers::fused_adamw(&model.vs), &model.vs, &config, 20)
                .unwrap()
                .with_deferred_statistics(late)
                .with_observer(move |report: &StepReport| {
                    if let Some(checked) =
                        report.checked.as_ref().filter(|checked| checked.snapshot.is_some())
                    {
                        let asked = checked.compared.iter().flatten().count();
                        keep.lock().unwrap().push((checked.step, checked.compared.len(), asked));
                    }
                    Ok(())
                });
        for batch in 1..=4 {
            optimizer.backward_step(&model.loss(batch)).unwrap();
        }
        // Two blocks of six; their queries freeze at step 2. Read late, the last step's are told by no report.
        let all = [(1, 12, 12), (2, 12, 12), (3, 12, 10), (4, 12, 10)];
        assert_eq!(*seen.lock().unwrap(), all[..if late { 3 } else { 4 }], "late: {late}");
    }
}
