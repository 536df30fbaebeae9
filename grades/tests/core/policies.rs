//! Policies to test with: two that a configuration can name, and one that records what it was asked.

use std::sync::{Arc, Mutex};

use grades::policy::Cooldown;
use grades::policy::{
    Cause, Decision, FreezePolicy, FrozenObservation, Measure, Observation, PolicyBuilder, PolicyConfig,
    PolicyPlugin, RunPlan, Score,
};
use grades::schema::{Key, Section};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Problems, submit};

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

/// `both`: a list of children that is built and freezes nothing.
#[derive(Debug, Clone)]
struct Both;

impl FreezePolicy for Both {
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

impl PolicyConfig for Both {
    const NAME: &'static str = "both";
    const SUMMARY: &'static str = "has a list of children";
    const KEYS: &'static [Key] = &[Key::new("policies", "the children")];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        builder.children(section, "policies").map(|_| Both)
    }
}

submit! { PolicyPlugin::of::<Both>().with_alias("pair") }

/// The questions that a [`Recorder`] was asked.
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

/// One question that a [`Scripted`] was asked, as text: what, step, component, learning rate, rank.
#[derive(Debug, Clone, Default)]
pub(crate) struct Questions(Arc<Mutex<Vec<String>>>);

impl Questions {
    fn note(&self, question: String) {
        self.0.lock().unwrap().push(question);
    }

    /// The questions since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Freezes below 1, scores by the L1 norm, and thaws so many steps after a freeze.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) cooldown: Cooldown,
    pub(crate) thaw_after: Option<u64>,
    pub(crate) questions: Questions,
}

impl Scripted {
    pub(crate) fn thawing_after(steps: u64) -> Self {
        Self { thaw_after: Some(steps), ..Self::default() }
    }

    fn note(&self, what: &str, observation: &Observation<'_>) {
        let layer = observation.component().layer.unwrap();
        let (step, rate, rank) = (observation.step(), observation.learning_rate(), observation.rank());
        self.questions.note(format!("{what} {step} of {layer}, lr {rate:?}, rank {rank:?}"));
    }
}

impl FreezePolicy for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        self.note("decide", observation);
        let value = observation.value(Statistic::GradL1).unwrap();
        Decision::freeze_below("scripted", Statistic::GradL1, value, 1.0)
    }

    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
        self.note("score", observation);
        // 7 stands for no score, 8 for one that is no number.
        match observation.value(Statistic::GradL1).unwrap() {
            7.0 => None,
            8.0 => Some(Score::new(Statistic::GradL1, f64::NAN)),
            value => Some(Score::new(Statistic::GradL1, value)),
        }
    }

    fn thaws(&self) -> bool {
        self.thaw_after.is_some()
    }

    fn decide_frozen(&mut self, frozen: &FrozenObservation<'_>) -> Decision {
        let (step, at, total, rate) =
            (frozen.step, frozen.frozen_at, frozen.total_steps, frozen.learning_rate);
        let layer = frozen.component.layer.unwrap();
        self.questions.note(format!("frozen {step} of {layer}, since {at} of {total}, lr {rate:?}"));
        let threshold = self.thaw_after.unwrap() as f64;
        let value = step as f64 - at as f64;
        if value < threshold {
            return Decision::Keep;
        }
        Decision::Thaw(Cause::new("scripted", Measure::ChecksFrozen, value, threshold))
    }

    fn default_cooldown(&self) -> Cooldown {
        self.cooldown
    }
}

/// `planned`: needs a run of at least `needs` steps, and freezes nothing.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    needs: u64,
    key: String,
}

impl FreezePolicy for Planned {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradRms])
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        if run.total_steps() < self.needs {
            problems.push(&self.key, format!("{} steps, but the run has {}", self.needs, run.total_steps()));
        }
    }

    fn decide(&mut self, _: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}

impl PolicyConfig for Planned {
    const NAME: &'static str = "planned";
    const SUMMARY: &'static str = "needs so many steps";
    const KEYS: &'static [Key] = &[Key::new("needs", "steps")];

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        let needs = section.integer_or("needs", 10, "at least 0", |_| true)?;
        Some(Planned { needs, key: section.path_of("needs") })
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
