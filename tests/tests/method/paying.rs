//! A run pays only for what its policies read.

use std::sync::{Arc, Mutex};

use grades::optim::{
    AdamConfig, Capabilities, GradStats, Hyperparameter, InnerOptimizer, StatsRequest, StepRequest,
};
use grades::parameters::{ParamId, Parameters};
use grades::statistic::Statistic;
use grades::{FreezingOptimizer, Result};

use crate::support::{COMPONENTS, Ordered, Rig, value};
use grades_tests::ReportExt;

/// Bytes of the parameters of the components at these positions.
fn bytes(rig: &Rig, components: &[usize]) -> u64 {
    let names = components.iter().flat_map(|index| COMPONENTS[*index]);
    names.map(|name| 4 * rig.parameter(name).numel() as u64).sum()
}

fn steps(
    rig: &Rig,
    optimizer: &mut FreezingOptimizer<impl InnerOptimizer>,
    steps: std::ops::RangeInclusive<u64>,
) {
    for step in steps {
        optimizer.zero_grad().unwrap();
        optimizer.backward_accumulate(&rig.loss(&rig.gradients(step)), 0.5).unwrap();
        optimizer.backward_accumulate(&rig.loss(&rig.gradients(step + 1000)), 0.5).unwrap();
        optimizer.step().unwrap();
    }
}

#[test]
fn only_the_two_statistics_for_parity_keep_copies() {
    for statistic in Statistic::ALL {
        let rig = Rig::new();
        let mut optimizer = rig.wrap(
            AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap(),
            &Rig::config(Ordered::reading([statistic])),
        );
        assert_eq!(optimizer.memory().statistics, 0);
        steps(&rig, &mut optimizer, 1..=3);
        let kept = match statistic {
            Statistic::GradDeltaL1 | Statistic::WeightDeltaL1 => bytes(&rig, &[0, 1]),
            _ => 0,
        };
        assert_eq!(optimizer.memory().statistics, kept, "{statistic}");
    }
}

#[test]
fn copies_are_freed_when_their_component_freezes() {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::GradDeltaL1, Statistic::WeightDeltaL1]);
    let policy = policy.freezing("pair", 3).freezing("single", 5);
    let mut optimizer = rig.wrap(AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap(), &Rig::config(policy));
    let mut kept = |last| {
        steps(&rig, &mut optimizer, last..=last);
        optimizer.memory().statistics
    };
    let both = 2 * bytes(&rig, &[0, 1]);
    let one = 2 * bytes(&rig, &[0]);
    assert_eq!([1, 2, 3, 4, 5].map(&mut kept), [both, both, one, one, 0]);
}

#[test]
fn only_what_is_read_is_in_a_sample() {
    // The four statistics of the gradient come together from one pass; all others on demand.
    let gradient = [Statistic::GradL1, Statistic::GradMeanAbs, Statistic::GradL2, Statistic::GradRms];
    for asked in Statistic::ALL {
        let rig = Rig::new();
        let mut optimizer = rig
            .wrap(AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap(), &Rig::config(Ordered::reading([asked])));
        steps(&rig, &mut optimizer, 1..=2);
        optimizer.zero_grad().unwrap();
        optimizer.backward_accumulate(&rig.loss(&rig.gradients(3)), 0.25).unwrap();
        optimizer.backward_accumulate(&rig.loss(&rig.gradients(4)), 0.75).unwrap();
        let report = optimizer.step().unwrap();
        for statistic in Statistic::ALL {
            let pair = [Statistic::TwoBatchSignal, Statistic::TwoBatchNoise];
            let together = pair.contains(&statistic) && pair.contains(&asked);
            let expected = gradient.contains(&statistic) || statistic == asked || together;
            assert_eq!(value(&report, 1, statistic).is_some(), expected, "{statistic} with {asked}");
        }
    }
}

#[test]
fn a_policy_that_reads_nothing_measures_nothing() {
    let rig = Rig::new();
    let mut optimizer =
        rig.wrap(AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap(), &Rig::config(Ordered::reading([])));
    let report = optimizer.backward_step(&rig.loss(&rig.gradients(1))).unwrap();
    // It is asked all the same, about every component that has a gradient.
    let snapshot = report.snapshot().unwrap();
    assert!(
        snapshot.samples().iter().all(|sample| sample.is_some_and(|sample| sample.statistics().is_empty()))
    );
    assert!(report.grad_norm().is_none());
}

/// An optimizer that writes down what it is asked about its state.
#[derive(Debug)]
struct Asked<O>(O, Arc<Mutex<Vec<&'static str>>>);

impl<O> Asked<O> {
    fn note(&self, question: &'static str) {
        self.1.lock().unwrap().push(question);
    }
}

impl<O: InnerOptimizer> InnerOptimizer for Asked<O> {
    fn name(&self) -> &'static str {
        "asked"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { moments: true, ..Capabilities::default() }
    }

    fn bind(&mut self, parameters: &Parameters) -> Result<()> {
        self.0.bind(parameters)
    }

    fn zero_grad(&mut self) -> Result<()> {
        self.0.zero_grad()
    }

    fn step(&mut self) -> Result<()> {
        self.0.step()
    }

    fn step_measured(&mut self, request: &StepRequest<'_>, stats: &mut GradStats) -> Result<()> {
        let StatsRequest { gradients, moment_input, moments, updates, progress, rates } = request.stats;
        for (requested, name) in [
            (gradients, "gradients"),
            (moment_input, "moment input"),
            (moments, "moments"),
            (updates, "updates"),
            (progress, "progress"),
            (rates, "rates"),
        ] {
            if requested {
                self.note(name);
            }
        }
        self.0.step_measured(request, stats)
    }

    fn release(&mut self, parameters: &[ParamId]) -> Result<()> {
        self.0.release(parameters)
    }

    fn set(&mut self, group: Option<usize>, hyperparameter: Hyperparameter, value: f64) -> Result<()> {
        self.0.set(group, hyperparameter, value)
    }
}

#[test]
fn the_optimizers_state_is_read_at_checks_only_and_only_when_a_policy_asks() {
    let gradients = ["gradients"; 2];
    for (statistic, expected) in [
        (Statistic::GradL1, &gradients[..]),
        (Statistic::UpdateMeanAbs, &["gradients", "updates", "gradients", "updates"]),
        (Statistic::Progress, &["gradients", "progress", "gradients", "progress"]),
        // Gradients are followed from step to step; the moments are summed at the two checks of four steps.
        (
            Statistic::SignalFraction,
            &[
                "gradients",
                "rates",
                "gradients",
                "moments",
                "rates",
                "gradients",
                "rates",
                "gradients",
                "moments",
                "rates",
            ],
        ),
    ] {
        let rig = Rig::new();
        let asked = Arc::default();
        let inner = Asked(AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap(), Arc::clone(&asked));
        let config = Rig::config(Ordered::reading([statistic])).with_check_every(2);
        let mut optimizer = rig.wrap(inner, &config);
        for step in 1..=4 {
            optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
        }
        assert_eq!(*asked.lock().unwrap(), expected, "{statistic}");
    }
}
