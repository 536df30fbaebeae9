//! `thaw`: brings a frozen component back, to see whether it still learns.

use grades::policy::{
    Cause, CompositePolicy, Decision, FreezePolicy, FrozenObservation, Measure, Observation, PolicyBuilder,
    PolicyConfig, PolicyPlugin, PolicyState, RunPlan,
};
use grades::schema::field::{Field, Range, count, number};
use grades::schema::{ConfigTable, Key, Section, join_keys, table};
use grades::{Problems, Result, submit};
use serde::{Deserialize, Serialize};

use crate::common;

/// Freezes as another policy says, and thaws by a timer or when the learning rate rises again.
///
/// A frozen component has no gradient, so nothing in it says when to thaw. Instead it is thawed after `period`
/// checks and watched for `probe` checks. When the other policy freezes it within the probe, it was stable: the next
/// period is one check longer. When not, it was not: the period halves, and the component trains on until it is
/// frozen again. (The timer of adaptive parameter freezing, Chen et al., ICDCS 2021, section IV.) The other policy
/// begins anew at each thaw, so its window and patience must fit into the probe, whose first check never counts.
///
/// With `rewarm` above 0, a component also thaws when the learning rate is above `rewarm` times what it was when the
/// component froze, as at a restart of a cyclic schedule.
///
/// ```
/// use grades::statistic::Statistic;
/// use grades_policies::{FixedThreshold, Thaw};
///
/// let policy = Thaw::new(50, 10, 0.0, FixedThreshold::new(Statistic::GradL1, 0.02));
/// ```
#[derive(Debug, Clone)]
pub struct Thaw {
    settings: Settings,
    /// As it was built, for a fresh start.
    prototype: Box<dyn FreezePolicy>,
    policy: Box<dyn FreezePolicy>,
    history: History,
}

table! {
    /// The keys of the policy, but for the other policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// Checks of the first freeze.
        period: u64 = count(50, 1),
        /// Checks after a thaw within which a stable component freezes again.
        probe: u64 = probe(),
        /// Rise of the learning rate that thaws at once; 0 does not.
        rewarm: f64 = number(0.0, RISE),
    }
}

const RISE: Range =
    Range::new("0 or a number of at least 1", |rise| rise == 0.0 || rise >= 1.0 && rise.is_finite());

fn probe() -> Field<u64> {
    let least = "at least 2: the first check after a thaw never counts";
    Field::new(40, "a whole number, at least 2", move |section, key, default| {
        section.integer_or(key, default, least, |probe| probe >= 2)
    })
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    /// Checks of the present or next freeze.
    period: u64,
    /// Checks since the freeze.
    frozen: u64,
    /// Checks of the probe that are left; 0 when no probe is under way.
    probing: u64,
    /// The learning rate at the last check before the freeze; 0 when it is not known.
    learning_rate: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    timer: History,
    policy: PolicyState,
}

impl Thaw {
    /// Freezes as `policy` says, at first for `period` checks, and probes for `probe` checks.
    ///
    /// `rewarm` is the rise of the learning rate that thaws at once; 0 does not.
    pub fn new(period: u64, probe: u64, rewarm: f64, policy: impl FreezePolicy + 'static) -> Self {
        Self::boxed(Settings { period, probe, rewarm }, Box::new(policy))
    }

    fn boxed(settings: Settings, policy: Box<dyn FreezePolicy>) -> Self {
        let history = History { period: settings.period, frozen: 0, probing: 0, learning_rate: 0.0 };
        Self { settings, prototype: policy.clone(), policy, history }
    }
}

impl CompositePolicy for Thaw {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn inner(&self) -> Vec<&dyn FreezePolicy> {
        vec![&*self.policy]
    }

    fn inner_mut(&mut self) -> Vec<&mut Box<dyn FreezePolicy>> {
        vec![&mut self.policy]
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        self.prototype.plan(run, problems);
        self.policy = self.prototype.clone();
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        if !common::all_finite(&*self.policy, observation) {
            return Decision::Keep;
        }
        let decision = self.policy.decide(observation);
        let history = &mut self.history;
        history.learning_rate = observation.learning_rate().unwrap_or(0.0);
        history.frozen = 0;
        // A first sample never counts, so a freeze at the first check of a probe is not acted on.
        if decision.is_freeze() && (1..self.settings.probe).contains(&history.probing) {
            history.period = history.period.saturating_add(1);
            history.probing = 0;
        } else if history.probing == 1 {
            history.period = (history.period / 2).max(1);
            history.probing = 0;
        } else {
            history.probing = history.probing.saturating_sub(1);
        }
        decision
    }

    fn thaws(&self) -> bool {
        true
    }

    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        let history = &mut self.history;
        history.frozen += 1;
        let limit = self.settings.rewarm * history.learning_rate;
        let warm = observation.learning_rate.filter(|now| limit > 0.0 && *now > limit);
        let (measure, value, threshold) = match warm {
            Some(now) => (Measure::LearningRate, now, limit),
            None if history.frozen >= history.period => {
                (Measure::ChecksFrozen, history.frozen as f64, history.period as f64)
            }
            None => return Decision::Keep,
        };
        history.probing = self.settings.probe;
        history.frozen = 0;
        self.policy = self.prototype.clone();
        Decision::Thaw(Cause::new(Self::NAME, measure, value, threshold))
    }

    fn state(&self) -> Result<PolicyState> {
        PolicyState::of(&State { timer: self.history.clone(), policy: self.policy.state()? })
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        let State { timer, policy } = state.read(Self::NAME)?;
        self.policy.restore(&policy)?;
        self.history = timer;
        Ok(())
    }
}

impl PolicyConfig for Thaw {
    const NAME: &'static str = "thaw";
    const SUMMARY: &'static str =
        "freezes as another policy says, and thaws by a timer or when the learning rate rises";
    const KEYS: &'static [Key] =
        &join_keys::<{ 1 + Settings::KEYS.len() }>(&[common::POLICY], Settings::KEYS);

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        let settings = Settings::read(section);
        let key = common::POLICY.name;
        let policy = builder.child(section, key);
        if policy.as_ref().is_some_and(|policy| policy.thaws()) {
            section.problem(key, "thaws itself, so that two timers would contradict each other");
            return None;
        }
        Some(Self::boxed(settings?, policy?))
    }
}

submit! { PolicyPlugin::of::<Thaw>() }
