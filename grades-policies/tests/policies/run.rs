//! Made-up runs: what a policy may be asked, in any order.

use grades::{
    Component, ComponentKind, ComponentSample, Decision, FreezePolicy, Observation, Population, Statistic,
};
use proptest::prelude::*;

/// A sequence of checks of one component, among two others.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) kind: ComponentKind,
    pub(crate) grace_checks: usize,
    pub(crate) checks: Vec<Check>,
}

/// A gradient at one check, by its size; those of the other components come second and third.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub(crate) sizes: [f64; 3],
}

impl Check {
    /// Whether the component itself has a finite gradient.
    pub(crate) fn is_finite(self) -> bool {
        self.sizes[0].is_finite()
    }

    /// The same with all gradients multiplied by a constant.
    fn times(self, factor: f64) -> Self {
        Self { sizes: self.sizes.map(|size| size * factor) }
    }
}

impl Run {
    /// The policy's answer at this check, with all gradients multiplied by a constant.
    pub(crate) fn ask_scaled(&self, policy: &mut dyn FreezePolicy, index: usize, factor: f64) -> Decision {
        let component = Component::sample("layers.1.it", self.kind, Some(1), 2);
        let check = self.checks[index];
        let samples = check.sizes.map(|size| Some(sample(policy, size, factor)));
        let [Some(own), ..] = &samples else { unreachable!() };
        let observation = Observation::new(&component, own)
            .at(index as u64 + 1, self.checks.len() as u64)
            .after_grace(index >= self.grace_checks)
            .among(Population::new(&samples, 0));
        policy.decide(&observation)
    }

    /// The policy's answer at this check.
    pub(crate) fn ask(&self, policy: &mut dyn FreezePolicy, index: usize) -> Decision {
        self.ask_scaled(policy, index, 1.0)
    }

    /// The policy's answers at these checks.
    pub(crate) fn ask_all(
        &self,
        policy: &mut dyn FreezePolicy,
        checks: impl IntoIterator<Item = usize>,
    ) -> Vec<Decision> {
        checks.into_iter().map(|index| self.ask(policy, index)).collect()
    }
}

/// The statistics of a gradient of two numbers, and any other that the policy reads.
fn sample(policy: &dyn FreezePolicy, size: f64, factor: f64) -> ComponentSample {
    let gradient = Check { sizes: [size, size * 0.5, 0.0] }.times(factor).sizes;
    let of_gradient = ComponentSample::from_gradient(&gradient[..2]);
    let mut sample = of_gradient;
    for statistic in policy.statistics().iter().filter(|statistic| of_gradient.get(*statistic).is_none()) {
        let factor = if grows_with_the_gradient(statistic) { factor } else { 1.0 };
        sample = sample.with(statistic, size * factor);
    }
    sample
}

/// Whether a statistic is multiplied by the constant that the gradient is multiplied by.
fn grows_with_the_gradient(statistic: Statistic) -> bool {
    match statistic.name() {
        "grad-delta-l1" => true,
        "signal-fraction" | "weight-delta-l1" | "update-mean-abs" => false,
        other => panic!("say here whether {other} grows with the gradient"),
    }
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
    let check = [size.clone(), size.clone(), size].prop_map(|sizes| Check { sizes });
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
