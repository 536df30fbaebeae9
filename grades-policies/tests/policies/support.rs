//! Building policies and asking them.

use grades::component::{Component, ComponentConfig, ComponentKind, ComponentMap, ParameterInfo};
use grades::policy::{Cause, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyRegistry, RunPlan};
use grades::statistic::{ComponentSample, GradientSnapshot, Statistic};
use grades::tracker::{FreezeTracker, Transition};
use grades::{FreezingConfig, Problems};
use grades_policies as _;
use toml::Table;

/// The policy of a table, for a run of 100 steps whose metric is `grad-l1`.
pub(crate) fn build_table(table: &Table) -> Result<Box<dyn FreezePolicy>, Problems> {
    let builder = PolicyBuilder::new(PolicyRegistry::linked().unwrap(), Statistic::GradL1);
    let mut problems = Problems::default();
    let mut policy = builder.build("policy", table, &mut problems);
    if let Some(policy) = &mut policy {
        policy.plan(&RunPlan::new(100, 1), &mut problems);
    }
    match policy {
        Some(policy) if problems.is_empty() => Ok(policy),
        _ => Err(problems),
    }
}

/// As [`build_table`], of a table written as TOML.
pub(crate) fn build(toml: &str) -> Result<Box<dyn FreezePolicy>, Problems> {
    build_table(&toml.parse().unwrap())
}

/// The text of the problems that a table has.
pub(crate) fn problems(toml: &str) -> String {
    build(toml).unwrap_err().to_string()
}

/// Returns a policy's decisions on these samples of one component, in order, asked as a tracker does.
pub(crate) fn observe(
    policy: &mut dyn FreezePolicy,
    samples: impl IntoIterator<Item = ComponentSample>,
) -> Vec<Decision> {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let ask = |(step, sample): (u64, ComponentSample)| {
        let observation = Observation::new(&component, &sample).at(step, 100);
        let rank = policy.score(&observation).map(|_| 0);
        policy.decide(&observation.ranked(rank))
    };
    (1..).zip(samples).map(ask).collect()
}

/// Returns its decisions when the gradient of a component of one number takes these values.
pub(crate) fn decisions(policy: &mut dyn FreezePolicy, gradients: &[f64]) -> Vec<Decision> {
    observe(policy, gradients.iter().map(|gradient| ComponentSample::from_gradient(&[*gradient])))
}

/// The same as one letter per check: `F` for freeze, `.` for keep.
pub(crate) fn letters(policy: &mut dyn FreezePolicy, gradients: &[f64]) -> String {
    word(&decisions(policy, gradients))
}

/// Decisions as one letter each.
pub(crate) fn word(decisions: &[Decision]) -> String {
    let letter = |decision: &Decision| if decision.is_freeze() { 'F' } else { '.' };
    decisions.iter().map(letter).collect()
}

/// The samples of one statistic that takes these values.
pub(crate) fn samples(statistic: Statistic, values: &[f64]) -> impl Iterator<Item = ComponentSample> {
    values.iter().map(move |value| ComponentSample::new(1).with(statistic, *value))
}

/// The value and the threshold of the last decision, which must be to freeze.
pub(crate) fn cause(decisions: &[Decision]) -> Cause {
    match decisions.last() {
        Some(Decision::Freeze(cause)) => cause.clone(),
        other => panic!("{other:?}"),
    }
}

/// A few operations in f64, done by the code and by a test's own formula.
const FORMULA: f64 = 1e-12;

/// Fails unless two numbers are the same but for rounding.
#[track_caller]
pub(crate) fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= FORMULA * expected.abs().max(1e-3), "{found}, expected {expected}");
}

/// A tracker of the projections of these names over so many steps; each component is one number.
pub(crate) fn tracker(names: &[&str], config: &FreezingConfig, total_steps: u64) -> FreezeTracker {
    let parameters: Vec<_> =
        names.iter().map(|name| ParameterInfo::new(format!("model.{name}.weight"), [1, 1])).collect();
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    FreezeTracker::new(map, config, total_steps).unwrap()
}

/// The events of a run as words such as `3C0`: step, what happened, component.
pub(crate) fn events(
    tracker: &mut FreezeTracker,
    sample: impl Fn(u64, usize) -> Option<ComponentSample>,
) -> String {
    let mut words = Vec::new();
    for step in 1..=tracker.total_steps() {
        let due = tracker.is_due(step);
        let mut events = tracker.finish_cooling(step);
        if due {
            let samples = (0..tracker.total()).map(|index| sample(step, index)).collect();
            events.extend(tracker.check(&GradientSnapshot::new(step, samples)).events);
        }
        words.extend(events.iter().map(|event| {
            let letter = match event.event {
                Transition::Cool => 'C',
                Transition::Freeze => 'F',
                _ => 'T',
            };
            format!("{step}{letter}{}", event.index)
        }));
    }
    words.join(" ")
}
