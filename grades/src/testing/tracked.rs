//! Generated runs through a tracker, with policies that are saved, restored or cloned on the way.

use crate::component::{ComponentConfig, ComponentMap, ParameterInfo};
use crate::config::FreezingConfig;
use crate::error::Result;
use crate::policy::Cooldown;
use crate::policy::{Decision, FreezePolicy, FrozenObservation, Observation, PolicyState, Score};
use crate::statistic::{GradientSnapshot, StatisticSet};
use crate::tracker::{FreezeEvent, FreezeTracker};

use super::run::{COMPONENTS, Run, sample};

/// The components of such a run, of several kinds and in two blocks.
const NAMES: [&str; COMPONENTS] = [
    "layers.0.self_attn.q_proj",
    "layers.0.mlp.up_proj",
    "layers.1.self_attn.v_proj",
    "layers.1.mlp.down_proj",
];

/// How a run is driven through a tracker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drive {
    pub(super) cooldown: Option<Cooldown>,
    pub(super) check_every: u64,
    /// All gradients are multiplied by it.
    pub(super) factor: f64,
    /// Whether components without finite statistics appear to have no gradient.
    pub(super) absent: bool,
}

impl Drive {
    pub(super) const PLAIN: Drive = Drive { cooldown: None, check_every: 1, factor: 1.0, absent: false };
}

/// Returns the events of a run in which each component has a clone of the policy.
pub(super) fn events(
    run: &Run,
    drive: Drive,
    policy: impl FreezePolicy + 'static,
) -> Result<Vec<FreezeEvent>> {
    let parameters = NAMES.map(|name| ParameterInfo::new(format!("model.{name}.weight"), [2, 1]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default())?;
    let statistics = policy.statistics();
    let total = run.checks.len() as u64;
    let grace = (run.grace_checks as f64 / total as f64).min(1.0);
    let mut config = FreezingConfig::new(policy).with_grace(grace).with_check_every(drive.check_every);
    if let Some(cooldown) = drive.cooldown {
        config = config.with_cooldown(cooldown);
    }
    let mut tracker = FreezeTracker::new(map, &config, total)?;
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
    Ok(events)
}

/// An operation on a policy between two questions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Treatment {
    /// Nothing.
    None,
    /// At this step a fresh policy that restored the state takes over.
    ResumeAt(u64),
    /// At each question one clone is asked something else, and another clone replaces the policy.
    Clone,
}

/// A policy that is saved, restored or cloned while it is asked.
#[derive(Debug, Clone)]
pub(super) struct Treated {
    treatment: Treatment,
    fresh: Box<dyn FreezePolicy>,
    policy: Box<dyn FreezePolicy>,
}

impl Treated {
    pub(super) fn new(policy: Box<dyn FreezePolicy>, treatment: Treatment) -> Self {
        Self { treatment, fresh: policy.clone(), policy }
    }

    pub(super) fn untouched(policy: Box<dyn FreezePolicy>) -> Self {
        Self::new(policy, Treatment::None)
    }

    fn resume(&mut self, step: u64) {
        if let Treatment::ResumeAt(at) = self.treatment
            && step >= at
        {
            self.treatment = Treatment::ResumeAt(u64::MAX);
            // A state that cannot be read back fails the law of resuming alone; here the policy starts anew.
            let state = self.policy.state();
            self.policy = self.fresh.clone();
            if let Ok(state) = state {
                let _ = self.policy.restore(&state);
            }
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

    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
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
