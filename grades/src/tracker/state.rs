//! The tracker's state as plain data.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use super::FreezeTracker;
use super::track::{Phase, Track};
use crate::config::Cooling;
use crate::error::{Error, Result};
use crate::policy::Cooldown;
use crate::policy::{Cause, Measure, PolicyState};

/// The state of a [`FreezeTracker`] as plain data that TOML can write.
///
/// ```
/// use grades::policy::Threshold;
/// use grades::statistic::Statistic;
/// use grades::FreezingConfig;
/// use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
/// use grades::tracker::{FreezeTracker, TrackerState};
///
/// let query = ParameterInfo::new("model.layers.0.self_attn.q_proj.weight", [2, 1]);
/// let map = ComponentMap::new(&[query], &ComponentConfig::default())?;
/// let config = FreezingConfig::new(Threshold::new(Statistic::GradL1, 1.0));
/// let mut tracker = FreezeTracker::new(map, &config, 100)?;
/// let text = toml::to_string(&tracker.state()?)?;
/// tracker.restore(&toml::from_str::<TrackerState>(&text)?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerState {
    total_steps: u64,
    grace_steps: u64,
    check_every: u64,
    stop_at: f64,
    /// A string in files of version 1.
    #[serde(deserialize_with = "cooldown")]
    cooldown: Cooldown,
    cooling: Cooling,
    /// The share that freezes were planned for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget: Option<f64>,
    policy: String,
    components: Vec<ComponentState>,
}

/// The state of one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentState {
    name: String,
    samples: u64,
    since: u64,
    #[serde(default)]
    decided: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cooling: Option<CoolingState>,
    policy: PolicyState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoolingState {
    from: u64,
    steps: u64,
    policy: String,
    measure: String,
    value: f64,
    threshold: f64,
}

impl FreezeTracker {
    /// Returns the state of all components and policies.
    ///
    /// # Errors
    ///
    /// [`Error::State`] when the state of a policy cannot be written.
    pub fn state(&self) -> Result<TrackerState> {
        let component = |(track, component): (&Track, &crate::component::Component)| {
            let (frozen_at, cooling) = match &track.phase {
                Phase::Active => (None, None),
                Phase::Frozen { at } => (Some(*at), None),
                Phase::Cooling { from, steps, cause } => {
                    let cooling = CoolingState {
                        from: *from,
                        steps: *steps,
                        policy: cause.policy.to_string(),
                        measure: cause.measure.name().to_owned(),
                        value: cause.value,
                        threshold: cause.threshold,
                    };
                    (None, Some(cooling))
                }
            };
            let (samples, since, decided) = (track.samples, track.since, track.decided);
            let (name, policy) = (component.name.clone(), track.policy.state()?);
            Ok(ComponentState { name, samples, since, decided, frozen_at, cooling, policy })
        };
        let policy = self.tracks.first().map_or("", |track| track.policy.name());
        Ok(TrackerState {
            total_steps: self.schedule.total_steps,
            grace_steps: self.schedule.grace_steps,
            check_every: self.schedule.check_every,
            stop_at: self.schedule.stop_at,
            cooldown: self.schedule.cooldown,
            cooling: self.schedule.cooling,
            budget: self.budget.as_ref().map(|budget| budget.share),
            policy: policy.to_owned(),
            components: self.tracks.iter().zip(self.components()).map(component).collect::<Result<_>>()?,
        })
    }

    /// Restores what [`state`](Self::state) returned; decisions go on as if there had been no break. On an error nothing
    /// is changed.
    ///
    /// # Errors
    ///
    /// [`Error::State`] that names the difference: in the components, the policy, the schedule, or a policy's state.
    pub fn restore(&mut self, state: &TrackerState) -> Result<()> {
        let here = self.state()?;
        let same = |what: &str, saved: &dyn std::fmt::Display, here: &dyn std::fmt::Display| {
            let (saved, here) = (saved.to_string(), here.to_string());
            if saved == here { Ok(()) } else { Err(differs(what, &saved, &here)) }
        };
        same("total_steps", &state.total_steps, &here.total_steps)?;
        same("grace (in steps)", &state.grace_steps, &here.grace_steps)?;
        same("check_every", &state.check_every, &here.check_every)?;
        same("stop_at", &state.stop_at, &here.stop_at)?;
        same("cooldown", &state.cooldown, &here.cooldown)?;
        same("cooling", &state.cooling, &here.cooling)?;
        let share = |budget: Option<f64>| budget.map_or("none".to_owned(), |share| share.to_string());
        same("budget", &share(state.budget), &share(here.budget))?;
        same("policy", &state.policy, &here.policy)?;
        same("number of components", &state.components.len(), &here.components.len())?;
        let mut tracks = self.tracks.clone();
        for ((track, saved), here) in tracks.iter_mut().zip(&state.components).zip(&here.components) {
            same("component", &saved.name, &here.name)?;
            track.policy.restore(&saved.policy)?;
            track.samples = saved.samples;
            track.since = saved.since;
            track.decided = saved.decided;
            track.phase = match (&saved.cooling, saved.frozen_at) {
                (None, None) => Phase::Active,
                (None, Some(at)) => Phase::Frozen { at },
                (Some(cooling), None) => {
                    Phase::Cooling { from: cooling.from, steps: cooling.steps, cause: cause(cooling)? }
                }
                (Some(_), Some(_)) => {
                    return Err(error(format!("component \"{}\" both cools and is frozen", saved.name)));
                }
            };
        }
        self.frozen = tracks.iter().filter(|track| matches!(track.phase, Phase::Frozen { .. })).count();
        self.cooling = tracks.iter().filter(|track| matches!(track.phase, Phase::Cooling { .. })).count();
        self.tracks = tracks;
        Ok(())
    }
}

/// Reads a cooldown: a number or a table, or the string that files of version 1 have.
fn cooldown<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cooldown, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Saved {
        Cooldown(Cooldown),
        Version1(String),
    }
    match Saved::deserialize(deserializer)? {
        Saved::Cooldown(cooldown) => Ok(cooldown),
        Saved::Version1(text) => cooldown_of_version_1(&text)
            .ok_or_else(|| D::Error::custom(format!("expected a cooldown, found \"{text}\""))),
    }
}

/// Reads `Steps(80)` or `Share { share: 0.5 }`.
fn cooldown_of_version_1(text: &str) -> Option<Cooldown> {
    let between = |start, end| text.strip_prefix(start)?.strip_suffix(end);
    if let Some(steps) = between("Steps(", ")") {
        return steps.parse().ok().map(Cooldown::Steps);
    }
    let share = between("Share { share: ", " }")?.parse().ok()?;
    Some(Cooldown::Share { share })
}

fn cause(saved: &CoolingState) -> Result<Cause> {
    let measure = saved.measure.parse::<Measure>()?;
    Ok(Cause::new(saved.policy.clone(), measure, saved.value, saved.threshold))
}

fn differs(what: &str, saved: &str, here: &str) -> Error {
    error(format!("{what} was {saved} when it was saved and is {here} here"))
}

fn error(reason: String) -> Error {
    Error::State { what: "the freeze tracker".to_owned(), reason }
}
