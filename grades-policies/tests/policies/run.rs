//! Made-up runs: what a policy may be asked, in any order.

use grades::component::{Component, ComponentKind};
use grades::policy::{Cause, Decision, FreezePolicy, FrozenObservation, Observation, Population};
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use proptest::prelude::*;

/// How many components a run has.
pub(crate) const COMPONENTS: usize = 4;

/// A sequence of checks of one component, among others.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) kind: ComponentKind,
    pub(crate) grace_checks: usize,
    pub(crate) checks: Vec<Check>,
}

/// Gradients at one check, by their sizes, that of the component in question first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub(crate) sizes: [f64; COMPONENTS],
    pub(crate) learning_rate: Option<f64>,
    /// Its rank, if it has a score.
    pub(crate) rank: usize,
    /// Whether it is frozen at this check.
    pub(crate) frozen: bool,
}

/// What a policy said at one check.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) score: Option<f64>,
    pub(crate) decision: Decision,
    /// What it then says that it compares.
    pub(crate) compares: Option<Cause>,
}

impl Answer {
    /// That of a policy to which the check is nothing.
    pub(crate) const NONE: Answer = Answer { score: None, decision: Decision::Keep, compares: None };
}

impl Check {
    /// All gradients of one size.
    pub(crate) fn of(size: f64) -> Self {
        Self { sizes: [size; COMPONENTS], learning_rate: None, rank: 0, frozen: false }
    }

    /// Whether the component itself has nothing that is not finite.
    pub(crate) fn is_finite(self) -> bool {
        self.frozen || self.sizes[0].is_finite()
    }
}

impl Run {
    /// The policy's answer at this check, with all gradients multiplied by a constant.
    pub(crate) fn ask_scaled(&self, policy: &mut dyn FreezePolicy, index: usize, factor: f64) -> Answer {
        let component = Component::detached("layers.1.it", self.kind, Some(1), 2);
        let check = self.checks[index];
        let (step, total) = (index as u64 + 1, self.checks.len() as u64);
        if check.frozen {
            let frozen = FrozenObservation::new(&component, 0, step, total);
            return match policy.thaws() {
                true => Answer {
                    decision: policy.decide_frozen(&frozen.with_learning_rate(check.learning_rate)),
                    ..Answer::NONE
                },
                false => Answer::NONE,
            };
        }
        let samples = check.sizes.map(|size| Some(sample(policy.statistics(), size, factor)));
        let [Some(own), ..] = &samples else { unreachable!() };
        let observation = Observation::new(&component, own)
            .at(step, total)
            .after_grace(index >= self.grace_checks)
            .with_learning_rate(check.learning_rate)
            .among(Population::new(&samples, 0));
        let score = policy.score(&observation);
        let rank = score.filter(|score| score.is_finite()).map(|_| check.rank);
        let observation = observation.ranked(rank);
        let decision = policy.decide(&observation);
        // What is not finite equals nothing, not even itself.
        let finite = |cause: &Cause| cause.value.is_finite() && cause.threshold.is_finite();
        Answer { score, decision, compares: policy.compares(&observation).filter(finite) }
    }

    /// The policy's answer at this check.
    pub(crate) fn ask(&self, policy: &mut dyn FreezePolicy, index: usize) -> Answer {
        self.ask_scaled(policy, index, 1.0)
    }

    /// The policy's answers at these checks.
    pub(crate) fn ask_all(
        &self,
        policy: &mut dyn FreezePolicy,
        checks: impl IntoIterator<Item = usize>,
    ) -> Vec<Answer> {
        checks.into_iter().map(|index| self.ask(policy, index)).collect()
    }
}

/// The statistics of a gradient of two numbers times a factor, and any other that is asked for.
pub(crate) fn sample(statistics: StatisticSet, size: f64, factor: f64) -> ComponentSample {
    let of_gradient = ComponentSample::from_gradient(&[size * factor, size * 0.5 * factor]);
    let mut sample = of_gradient;
    for statistic in statistics.iter().filter(|statistic| of_gradient.get(*statistic).is_none()) {
        let value = match statistic {
            Statistic::GradDeltaL1 => size * factor,
            Statistic::WeightDeltaL1 | Statistic::UpdateMeanAbs => size,
            Statistic::SignalFraction => size - 0.25,
            Statistic::TwoBatchSignal => (size - 0.25) * factor * factor,
            Statistic::TwoBatchNoise => (2.0 - size) * factor * factor,
            other => panic!("say here how {other} follows the gradient"),
        };
        sample = sample.with(statistic, value);
    }
    sample
}

/// A finite size: around the thresholds of the examples, zero, or anywhere.
fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => Just(0.0),
        2 => Just(0.25),
        6 => 0.0..2.0,
        2 => (-20.0..20.0f64).prop_map(f64::exp2),
    ]
}

fn size() -> impl Strategy<Value = f64> {
    prop_oneof![
        10 => finite(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
    ]
}

fn kind() -> impl Strategy<Value = ComponentKind> {
    prop::sample::select(ComponentKind::ALL.to_vec())
}

/// Runs of checks with these sizes, values often repeated.
fn runs_of<S: Strategy<Value = f64> + Clone + 'static>(size: S) -> impl Strategy<Value = Run> {
    let rate = prop::option::of(prop_oneof![Just(0.1), Just(0.2), Just(1.0)]);
    let sizes: [S; COMPONENTS] = std::array::from_fn(|_| size.clone());
    let check = (sizes, rate, 0..COMPONENTS, prop::bool::weighted(0.25))
        .prop_map(|(sizes, learning_rate, rank, frozen)| Check { sizes, learning_rate, rank, frozen });
    let repeated = prop::collection::vec((check, prop_oneof![Just(1usize), 1..8usize]), 1..16);
    (kind(), 0usize..12, repeated).prop_map(|(kind, grace_checks, repeated)| {
        let repeat = |(check, times): (Check, usize)| std::iter::repeat_n(check, times);
        Run { kind, grace_checks, checks: repeated.into_iter().flat_map(repeat).collect() }
    })
}

/// Runs with NaN, infinities and zeros.
pub(crate) fn runs() -> impl Strategy<Value = Run> {
    runs_of(size().boxed())
}

/// Runs without NaN and infinities.
pub(crate) fn finite_runs() -> impl Strategy<Value = Run> {
    runs_of(finite().boxed())
}
