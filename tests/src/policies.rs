//! Policies that freeze nothing, or given components at given steps.

use std::sync::{Arc, Mutex};

use grades::policy::{Cause, Decision, FreezePolicy, Observation};
use grades::statistic::{Statistic, StatisticSet};

/// Freezes nothing.
#[derive(Debug, Clone)]
pub struct Never;

impl FreezePolicy for Never {
    fn name(&self) -> &'static str {
        "never"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, _: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}

/// A question that a policy was asked: the component's name, the step and the L1 norm of the gradient.
pub type Asked = (String, u64, f64);

/// Freezes components from given steps on, and writes down what it was asked.
#[derive(Debug, Clone)]
pub struct FreezeAt {
    rules: Vec<(String, u64)>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FreezeAt {
    /// A component freezes at its first check at or after the step of any rule whose text is in its name.
    pub fn new<const N: usize>(rules: [(&str, u64); N]) -> Self {
        let rules = rules.map(|(text, step)| (text.to_owned(), step)).into();
        Self { rules, asked: Arc::default() }
    }

    /// The questions since the last call, of all clones.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl FreezePolicy for FreezeAt {
    fn name(&self) -> &'static str {
        "freeze-at"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let name = &observation.component().name;
        let value = observation.value(Statistic::GradL1).unwrap();
        self.asked.lock().unwrap().push((name.clone(), observation.step(), value));
        if self.rules.iter().any(|(text, step)| name.contains(text) && observation.step() >= *step) {
            return Decision::Freeze(Cause::new("freeze-at", Statistic::GradL1, value, f64::INFINITY));
        }
        Decision::Keep
    }
}
