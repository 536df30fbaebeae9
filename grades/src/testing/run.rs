//! Generated runs: sequences of checks that a policy is asked about.

use crate::component::{Component, ComponentKind};
use crate::policy::{
    Cause, Decision, FreezePolicy, FrozenObservation, Observation, Peers, Population, Score, StepCosts,
};
use crate::statistic::{ComponentSample, Statistic, StatisticSet};
use proptest::prelude::*;

/// How many components a run has.
pub(super) const COMPONENTS: usize = 4;

/// A sequence of checks of one component, among others.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) kind: ComponentKind,
    pub(super) grace_checks: usize,
    pub(super) checks: Vec<Check>,
}

/// Gradients at one check, by their sizes, that of the component in question first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    pub(super) sizes: [f64; COMPONENTS],
    pub(super) learning_rate: Option<f64>,
    /// Its rank, if it has a score.
    pub(super) rank: usize,
    /// Whether it is frozen at this check.
    pub(super) frozen: bool,
}

/// A policy's answers at one check.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) score: Option<Score>,
    pub(super) decision: Decision,
    /// The comparison that it reports afterwards, where both numbers are finite.
    pub(super) compares: Option<Cause>,
    /// Whether it reports a comparison without a threshold.
    pub(super) unbounded: bool,
}

impl Answer {
    /// The answer of a policy that ignores the check.
    pub(super) const NONE: Answer =
        Answer { score: None, decision: Decision::Keep, compares: None, unbounded: false };
}

impl Check {
    /// Creates a check with gradients of one size.
    pub(super) fn of(size: f64) -> Self {
        Self { sizes: [size; COMPONENTS], learning_rate: None, rank: 0, frozen: false }
    }

    /// Returns whether the component's own statistics are finite.
    pub(super) fn is_finite(self) -> bool {
        self.frozen || self.sizes[0].is_finite()
    }
}

impl Run {
    /// Asks the policy at this check, with all gradients multiplied by a constant.
    pub(super) fn ask_scaled(&self, policy: &mut dyn FreezePolicy, index: usize, factor: f64) -> Answer {
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
        let own = sample(policy.statistics(), check.sizes[0], factor);
        let observation = Observation::new(&component, &own)
            .at(step, total)
            .after_grace(index >= self.grace_checks)
            .with_learning_rate(check.learning_rate)
            .among(Population::new(&samples, 0));
        let score = policy.score(&observation);
        let ranked = score.filter(Score::is_finite);
        let rank = ranked.map(|_| check.rank);
        let peers = ranked.map(|score| peers(score, &component));
        let observation = observation.ranked(rank).with_peers(peers.as_ref());
        let decision = policy.decide(&observation);
        // NaN would be unequal to itself.
        let finite = |cause: &Cause| cause.value.is_finite() && cause.threshold.is_finite();
        let compared = policy.compares(&observation);
        let unbounded = compared.as_ref().is_some_and(|cause| cause.threshold.is_nan());
        Answer { score, decision, compares: compared.filter(finite), unbounded }
    }

    /// Asks the policy at this check.
    pub(super) fn ask(&self, policy: &mut dyn FreezePolicy, index: usize) -> Answer {
        self.ask_scaled(policy, index, 1.0)
    }

    /// Asks the policy at these checks.
    pub(super) fn ask_all(
        &self,
        policy: &mut dyn FreezePolicy,
        checks: impl IntoIterator<Item = usize>,
    ) -> Vec<Answer> {
        checks.into_iter().map(|index| self.ask(policy, index)).collect()
    }
}

/// Returns the sums over a component and three others, below, beside and above it, with scores that follow from its own.
fn peers(own: Score, component: &Component) -> Peers {
    let other = |layer| Component::detached("other", component.kind, Some(layer), component.elements);
    let components = [other(0), component.clone(), other(1), other(2)];
    let scores = [0.5, 1.0, 1.5, 2.0]
        .map(|times| Some(Score::new(own.measure, own.value * times).with_error(own.error * times)));
    Peers::new(own.measure, &components, &scores, &[true; COMPONENTS], &StepCosts::by_elements(&components))
}

/// Returns the statistics of a gradient of two numbers times a factor, and all others that are read.
pub(super) fn sample(statistics: StatisticSet, size: f64, factor: f64) -> ComponentSample {
    let of_gradient = ComponentSample::from_gradient(&[size * factor, size * 0.5 * factor]);
    let mut sample = of_gradient;
    for statistic in statistics.iter().filter(|statistic| of_gradient.get(*statistic).is_none()) {
        let value = match statistic {
            Statistic::GradDeltaL1 => size * factor,
            Statistic::WeightDeltaL1 | Statistic::UpdateMeanAbs => size,
            Statistic::SignalFraction => size - 0.25,
            Statistic::Progress => (size - 0.25) * factor,
            Statistic::TwoBatchSignal => (size - 0.25) * factor * factor,
            Statistic::TwoBatchNoise => (2.0 - size) * factor * factor,
            Statistic::GradL1 | Statistic::GradMeanAbs | Statistic::GradL2 | Statistic::GradRms => continue,
        };
        sample = sample.with(statistic, value);
    }
    sample
}

/// Draws a finite size: around the thresholds of the examples, zero, or anywhere.
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

/// Generates runs with NaN, infinities and zeros, and with values that are often repeated.
pub(super) fn runs() -> impl Strategy<Value = Run> {
    let size = size().boxed();
    let rate = prop::option::of(prop_oneof![Just(0.1), Just(0.2), Just(1.0)]);
    let sizes: [BoxedStrategy<f64>; COMPONENTS] = std::array::from_fn(|_| size.clone());
    let check = (sizes, rate, 0..COMPONENTS, prop::bool::weighted(0.25))
        .prop_map(|(sizes, learning_rate, rank, frozen)| Check { sizes, learning_rate, rank, frozen });
    let repeated = prop::collection::vec((check, prop_oneof![Just(1usize), 1..8usize]), 1..16);
    (kind(), 0usize..12, repeated).prop_map(|(kind, grace_checks, repeated)| {
        let repeat = |(check, times): (Check, usize)| std::iter::repeat_n(check, times);
        Run { kind, grace_checks, checks: repeated.into_iter().flat_map(repeat).collect() }
    })
}
