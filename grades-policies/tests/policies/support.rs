//! Building policies and asking them.

use grades::{
    Component, ComponentKind, ComponentSample, Decision, FreezePolicy, Observation, PolicyBuilder,
    PolicyRegistry, Problems, Statistic,
};
use grades_policies as _;
use toml::Table;

/// The policy of a table, for a run of 100 steps whose metric is `grad-l1`.
pub(crate) fn build_table(table: &Table) -> Result<Box<dyn FreezePolicy>, Problems> {
    let builder = PolicyBuilder::new(PolicyRegistry::linked().unwrap(), Statistic::GradL1, Some(100));
    let mut problems = Problems::default();
    let policy = builder.build("policy", table, &mut problems);
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

/// What a policy answers when the gradient of a component of one number takes these values, one after the other.
pub(crate) fn decisions(policy: &mut dyn FreezePolicy, gradients: &[f64]) -> Vec<Decision> {
    let component = Component::sample("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let mut step = 0;
    let ask = |gradient: &f64| {
        step += 1;
        let sample = ComponentSample::from_gradient(&[*gradient]);
        policy.decide(&Observation::new(&component, &sample).at(step, 100))
    };
    gradients.iter().map(ask).collect()
}

/// The same as one letter per check: `F` for freeze, `.` for keep.
pub(crate) fn letters(policy: &mut dyn FreezePolicy, gradients: &[f64]) -> String {
    let letter = |decision: &Decision| if decision.is_freeze() { 'F' } else { '.' };
    decisions(policy, gradients).iter().map(letter).collect()
}
