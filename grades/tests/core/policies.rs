//! Policies to test with: two that a configuration can name, and one that records what it was asked.

use std::sync::{Arc, Mutex};

use grades::config::{Key, Section};
use grades::{
    Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, Statistic, StatisticSet,
    submit,
};

/// `below`: freezes below τ.
#[derive(Debug, Clone)]
pub(crate) struct Below {
    metric: Statistic,
    tau: f64,
}

impl Below {
    pub(crate) fn new(tau: f64) -> Self {
        Self { metric: Statistic::GradL1, tau }
    }
}

impl FreezePolicy for Below {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([self.metric])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let value = observation.value(self.metric).unwrap_or(f64::NAN);
        Decision::freeze_below(self.name(), self.metric, value, self.tau)
    }
}

impl PolicyConfig for Below {
    const NAME: &'static str = "below";
    const SUMMARY: &'static str = "freezes below tau";
    const KEYS: &'static [Key] = &[Key::new("tau", "threshold"), Key::new("metric", "statistic")];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        let tau = section.number("tau", "a number above 0", |tau| tau > 0.0 && tau.is_finite());
        let metric = section.parsed_or("metric", builder.metric());
        Some(Self { metric: metric?, tau: tau? })
    }
}

submit! { PolicyPlugin::of::<Below>() }

/// `nested`: does what its child says, at every `count`-th check.
#[derive(Debug, Clone)]
pub(crate) struct Nested {
    count: u64,
    asked: u64,
    policy: Box<dyn FreezePolicy>,
}

impl FreezePolicy for Nested {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        self.policy.statistics()
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        self.asked += 1;
        if self.asked.is_multiple_of(self.count) { self.policy.decide(observation) } else { Decision::Keep }
    }
}

impl PolicyConfig for Nested {
    const NAME: &'static str = "nested";
    const SUMMARY: &'static str = "does what its child says";
    const KEYS: &'static [Key] =
        &[Key::new("count", "every so many checks"), Key::new("policy", "the child")];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        let count = section.integer_or("count", 1, "at least 1", |count| count >= 1);
        let policy = builder.child(section, "policy");
        Some(Self { count: count?, asked: 0, policy: policy? })
    }
}

submit! { PolicyPlugin::of::<Nested>() }

/// What a [`Recorder`] was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) component: String,
    pub(crate) step: u64,
    pub(crate) value: f64,
    pub(crate) grace_over: bool,
    /// How often this clone had been asked before.
    pub(crate) before: u64,
    /// Components in the population, and the frozen ones among them.
    pub(crate) population: (usize, usize),
}

/// Freezes below 1, and writes down every question; all clones write into one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder {
    asked: Arc<Mutex<Vec<Asked>>>,
    before: u64,
}

impl Recorder {
    /// The questions since the last call.
    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl FreezePolicy for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let value = observation.value(Statistic::GradL1).unwrap();
        self.asked.lock().unwrap().push(Asked {
            component: observation.component().name.clone(),
            step: observation.step(),
            value,
            grace_over: observation.grace_over(),
            before: self.before,
            population: (observation.population().total(), observation.population().decided()),
        });
        self.before += 1;
        Decision::freeze_below("recorder", Statistic::GradL1, value, 1.0)
    }
}

/// `planned`: needs a run of at least `needs` steps, and freezes nothing.
#[derive(Debug, Clone)]
pub(crate) struct Planned;

impl FreezePolicy for Planned {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradRms])
    }

    fn decide(&mut self, _: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}

impl PolicyConfig for Planned {
    const NAME: &'static str = "planned";
    const SUMMARY: &'static str = "needs so many steps";
    const KEYS: &'static [Key] = &[Key::new("needs", "steps")];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        let needs = section.integer_or("needs", 10, "at least 0", |_| true)?;
        match builder.total_steps() {
            Some(total) if total < needs => {
                section.problem("needs", format!("{needs} steps, but the run has {total}"));
                None
            }
            _ => Some(Planned),
        }
    }
}

submit! { PolicyPlugin::of::<Planned>() }

/// `silent`: cannot be built, and does not say why.
#[derive(Debug, Clone)]
struct Silent;

impl FreezePolicy for Silent {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::default()
    }

    fn decide(&mut self, _: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}

impl PolicyConfig for Silent {
    const NAME: &'static str = "silent";
    const SUMMARY: &'static str = "cannot be built";
    const KEYS: &'static [Key] = &[];

    fn from_config(_: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        None
    }
}

submit! { PolicyPlugin::of::<Silent>() }
