//! Deferred statistics, read at the next step: the same freezes at the same steps, reported one step later.

use std::sync::{Arc, Mutex};

use grades::optim::{AdamConfig, Implementation, InnerOptimizer, SgdConfig};

use grades::observe::StepObserver;
use grades::statistic::GradientSnapshot;
use grades::tracker::{FreezeEvent, StepReport, Transition};
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::{FreezeAt, ReportExt, Spec, TinyBert, bits};
use tch::Tensor;

const STEPS: u64 = 40;

type Step = fn(&mut FreezingOptimizer<Box<dyn InnerOptimizer>>, &Tensor) -> StepReport;

const WAYS: [(&str, Step); 4] = [
    ("plain", |optimizer, loss| optimizer.backward_step(loss).unwrap()),
    ("clip", |optimizer, loss| optimizer.backward_step_clip(loss, 1e-3).unwrap()),
    ("clip by norm", |optimizer, loss| optimizer.backward_step_clip_norm(loss, 0.05).unwrap()),
    ("clip by norm on its own", |optimizer, loss| {
        optimizer.zero_grad().unwrap();
        loss.backward();
        optimizer.clip_grad_norm(0.05).unwrap();
        optimizer.step().unwrap()
    }),
];

const CONFIGS: [&str; 7] = [
    "[freezing]\ncooldown = 0\n[freezing.policy]\nname = 'signal-fraction'\nfloor = 0.4\nwindow = 3\nhits = 2",
    "[freezing]\ncooldown = 3\ncooling = 'decay'\ncheck_every = 2\n[freezing.policy]\nname = 'signal-fraction'\nfloor = 0.4\nwindow = 3\nhits = 1",
    "[freezing]\ncooldown = 4\ncooling = 'average'\n[freezing.policy]\nname = 'signal-fraction'\nfloor = 0.4\nwindow = 3\nhits = 2",
    "[freezing]\ngrace = 0.2\n[freezing.policy]\nname = 'quota'\nmax_share = 1.0",
    "[freezing]\ncooldown = 0\n[freezing.policy]\nname = 'no-progress'\nz = 2\nwindow = 4\nhits = 2",
    "[freezing]\ncooldown = 3\n[freezing.policy]\nname = 'payoff'\nworth = 1.0\nwindow = 4\nhits = 2",
    "[freezing]\nmetric = 'update-mean-abs'\n[freezing.policy]\nname = 'relative-to-peak'\nrho = 0.7",
];

struct Run {
    events: Vec<FreezeEvent>,
    snapshots: Vec<GradientSnapshot>,
    norms: Vec<f64>,
    reports: Vec<StepReport>,
    bytes: Vec<Vec<u32>>,
    /// The report of `finish`.
    last: Option<StepReport>,
    finished_bytes: Vec<Vec<u32>>,
}

fn run(config: &str, way: Step, implementation: Implementation, momentum: bool, late: bool) -> Run {
    let model = TinyBert::new(Spec::default());
    let inner: Box<dyn InnerOptimizer> = match momentum {
        true => Box::new(
            AdamConfig::adam().wd(0.1).implementation(implementation).build(&model.vs, 1e-2).unwrap(),
        ),
        false => {
            let sgd = SgdConfig::new().momentum(0.8).nesterov(true).implementation(implementation);
            Box::new(sgd.build(&model.vs, 1e-2).unwrap())
        }
    };
    let config = FreezingConfig::from_toml(config).unwrap();
    let optimizer = FreezingOptimizer::new(inner, &model.vs, &config, STEPS).unwrap();
    let mut optimizer = optimizer.with_deferred_statistics(late);
    let reports: Vec<StepReport> =
        (1..=STEPS).map(|step| way(&mut optimizer, &model.loss(step % 5))).collect();
    let bytes = || model.variables().map(|(_, variable)| bits(variable)).collect();
    let before = bytes();
    let last = optimizer.finish().unwrap().report;
    Run {
        events: reports.iter().flat_map(|report| report.events.clone()).collect(),
        snapshots: reports.iter().filter_map(|report| report.snapshot().cloned()).collect(),
        norms: reports.iter().filter_map(|report| report.grad_norm()).collect(),
        bytes: before,
        last,
        finished_bytes: bytes(),
        reports,
    }
}

#[test]
fn deferred_statistics_freeze_the_same_at_the_same_steps() {
    let mut frozen = 0;
    for (index, config) in CONFIGS.into_iter().enumerate() {
        for (name, way) in WAYS {
            for implementation in [Implementation::Fused, Implementation::Libtorch] {
                let momentum = index % 2 == 0;
                let [now, late] = [false, true].map(|late| run(config, way, implementation, momentum, late));
                let context = format!("{config}, {name}, {implementation:?}");
                assert!(now.bytes == late.bytes, "{context}");
                // The statistics of the last step are in the report of `finish`.
                let count = late.events.len();
                assert_eq!(late.events[..], now.events[..count], "{context}");
                assert!(now.events[count..].iter().all(|event| event.step == STEPS), "{context}");
                assert_eq!(late.snapshots[..], now.snapshots[..late.snapshots.len()], "{context}");
                assert!(now.snapshots.len() - late.snapshots.len() <= 1, "{context}");
                assert_eq!(late.norms[..], now.norms[..late.norms.len()], "{context}");
                assert!(now.last.is_none() && now.finished_bytes == late.finished_bytes, "{context}");
                let last = late.last.iter().flat_map(|report| report.events.clone());
                let events: Vec<FreezeEvent> = late.events.iter().cloned().chain(last).collect();
                assert_eq!(events, now.events, "{context}");
                let checked = late.last.as_ref().and_then(|report| report.checked.as_ref());
                assert_eq!(
                    checked,
                    now.reports.last().and_then(|report| report.checked.as_ref()),
                    "{context}"
                );
                frozen += now.reports.last().map_or(0, |report| report.frozen);
            }
        }
    }
    assert!(frozen > 100, "too little froze for a test: {frozen}");
}

#[test]
fn a_deferred_thaw_acts_one_step_later_because_the_backward_pass_is_over_when_it_is_read() {
    let config = "[freezing]\ncooldown = 0\n[freezing.policy]\nname = 'thaw'\nperiod = 3\n[freezing.policy.policy]\n\
                  name = 'quota'\nmax_share = 0.9";
    let [now, late] = [false, true].map(|late| run(config, WAYS[0].1, Implementation::Fused, true, late));
    let first = |run: &Run| run.events.iter().position(|event| event.event == Transition::Thaw).unwrap();
    let (index, other) = (first(&now), first(&late));
    assert_eq!(now.events[..=index], late.events[..=other], "up to the first thaw all is the same");
    assert_eq!(now.events[index].step, late.events[other].step);
}

#[test]
fn observers_hear_of_the_last_freeze() {
    let heard: Arc<Mutex<Vec<FreezeEvent>>> = Arc::default();
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.", 3)]));
    let inner = AdamConfig::adamw().build(&model.vs, 1e-2).unwrap();
    let optimizer = FreezingOptimizer::new(inner, &model.vs, &config, STEPS).unwrap();
    let mut optimizer = optimizer.with_deferred_statistics(true).with_observer(Heard(Arc::clone(&heard)));
    while !optimizer.should_stop() {
        optimizer.backward_step(&model.loss(1)).unwrap();
    }
    assert_eq!(heard.lock().unwrap().len(), 12);
}

#[derive(Debug)]
struct Heard(Arc<Mutex<Vec<FreezeEvent>>>);

impl StepObserver for Heard {
    fn on_step(&mut self, report: &StepReport) -> grades::Result<()> {
        self.0.lock().unwrap().extend(report.events.clone());
        Ok(())
    }
}

#[test]
fn a_report_has_the_measurements_of_the_step_before_it() {
    let [now, late] = [false, true].map(|late| run(CONFIGS[0], WAYS[2].1, Implementation::Fused, true, late));
    for (before, after) in now.reports.iter().zip(&late.reports[1..]) {
        assert_eq!(before.snapshot(), after.snapshot());
        assert_eq!(before.grad_norm(), after.grad_norm());
        assert_eq!(before.checked, after.checked);
        assert_eq!(before.events, after.events);
    }
    assert!(late.reports[0].snapshot().is_none() && now.reports[0].snapshot().is_some());
}
