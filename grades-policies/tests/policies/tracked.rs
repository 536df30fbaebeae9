//! Made-up runs through a real tracker, which ranks, cools and thaws; and policies that are saved, restored or cloned
//! on the way.

use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
use grades::config::Cooldown;
use grades::policy::{Decision, FreezePolicy, FrozenObservation, Observation, PolicyState};
use grades::statistic::{GradientSnapshot, StatisticSet};
use grades::tracker::{FreezeEvent, FreezeTracker};
use grades::{FreezingConfig, Result};

use crate::run::{COMPONENTS, Run, sample};

/// The components of such a run, of several kinds and in two blocks.
const NAMES: [&str; COMPONENTS] = [
    "layers.0.self_attn.q_proj",
    "layers.0.mlp.up_proj",
    "layers.1.self_attn.v_proj",
    "layers.1.mlp.down_proj",
];

/// What a run is driven with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drive {
    pub(crate) cooldown: Option<Cooldown>,
    pub(crate) check_every: u64,
    /// All gradients are multiplied by it.
    pub(crate) factor: f64,
    /// Whether what is not finite is seen as no gradient at all.
    pub(crate) absent: bool,
}

impl Drive {
    pub(crate) const PLAIN: Drive = Drive { cooldown: None, check_every: 1, factor: 1.0, absent: false };
}

/// The events of a run in which each component has a clone of the policy.
pub(crate) fn events(run: &Run, drive: Drive, policy: impl FreezePolicy + 'static) -> Vec<FreezeEvent> {
    let parameters = NAMES.map(|name| ParameterInfo::new(format!("model.{name}.weight"), [2, 1]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    let statistics = policy.statistics();
    let total = run.checks.len() as u64;
    let grace = (run.grace_checks as f64 / total as f64).min(1.0);
    let mut config = FreezingConfig::with_policy(policy).grace(grace).check_every(drive.check_every);
    if let Some(cooldown) = drive.cooldown {
        config = config.cooldown(cooldown);
    }
    let mut tracker = FreezeTracker::new(map, &config, total).unwrap();
    let mut events = Vec::new();
    for (step, check) in (1..).zip(&run.checks) {
        let due = tracker.is_due(step);
        events.extend(tracker.finish_cooling(step));
        if due {
            let samples = check.sizes.map(|size| Some(sample(statistics, size, drive.factor)));
            let seen = samples.map(|sample| sample.filter(|sample| !drive.absent || sample.is_finite()));
            let snapshot = GradientSnapshot::new(step, seen.to_vec()).with_learning_rate(check.learning_rate);
            events.extend(tracker.check(&snapshot).events);
        }
    }
    events
}

/// What is done to a policy between two questions.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Treatment {
    /// Nothing.
    None,
    /// From this step on, another one goes on from its state, written as TOML.
    ResumeAt(u64),
    /// At each question a clone goes astray and another one goes on.
    Clone,
}

/// A policy to which something is done.
#[derive(Debug, Clone)]
pub(crate) struct Treated {
    treatment: Treatment,
    fresh: Box<dyn FreezePolicy>,
    policy: Box<dyn FreezePolicy>,
}

impl Treated {
    pub(crate) fn new(policy: Box<dyn FreezePolicy>, treatment: Treatment) -> Self {
        Self { treatment, fresh: policy.clone(), policy }
    }

    pub(crate) fn untouched(policy: Box<dyn FreezePolicy>) -> Self {
        Self::new(policy, Treatment::None)
    }

    fn resume(&mut self, step: u64) {
        if let Treatment::ResumeAt(at) = self.treatment
            && step >= at
        {
            self.treatment = Treatment::ResumeAt(u64::MAX);
            let text = toml::to_string(&self.policy.state().unwrap()).unwrap();
            self.policy = self.fresh.clone();
            self.policy.restore(&toml::from_str::<PolicyState>(&text).unwrap()).unwrap();
        }
    }

    fn stray(&mut self, ask: impl Fn(&mut dyn FreezePolicy)) {
        if matches!(self.treatment, Treatment::Clone) {
            let mut astray = self.policy.clone();
            (0..3).for_each(|_| ask(&mut *astray));
            let other = self.policy.clone();
            ask(&mut *std::mem::replace(&mut self.policy, other));
        }
    }
}

impl FreezePolicy for Treated {
    fn name(&self) -> &'static str {
        self.policy.name()
    }

    fn statistics(&self) -> StatisticSet {
        self.policy.statistics()
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        self.resume(observation.step());
        self.stray(|policy| {
            policy.score(observation);
            policy.decide(observation);
        });
        self.policy.decide(observation)
    }

    fn score(&mut self, observation: &Observation<'_>) -> Option<f64> {
        self.resume(observation.step());
        self.stray(|policy| {
            policy.score(observation);
            policy.decide(observation);
        });
        self.policy.score(observation)
    }

    fn thaws(&self) -> bool {
        self.policy.thaws()
    }

    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        self.resume(observation.step);
        self.stray(|policy| {
            policy.decide_frozen(observation);
        });
        self.policy.decide_frozen(observation)
    }

    fn default_cooldown(&self) -> Cooldown {
        self.policy.default_cooldown()
    }

    fn state(&self) -> Result<PolicyState> {
        self.policy.state()
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        self.policy.restore(state)
    }

    fn is_scale_free(&self) -> bool {
        self.policy.is_scale_free()
    }
}
