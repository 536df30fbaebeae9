//! A crate with one freeze policy: a template for a policy of your own.
//!
//! It depends on `grades` without libtorch, so it builds in seconds. A program links the policy with
//! `use grades_third_party as _;`, and a configuration names it:
//!
//! ```
//! use grades::FreezingConfig;
//! use grades_third_party as _;
//!
//! FreezingConfig::from_toml("[freezing.policy]\nname = \"falling\"\nchecks = 5")?;
//! # Ok::<(), grades::Error>(())
//! ```
//!
//! `tests/laws.rs` checks the laws that every policy keeps.

use grades::policy::{
    Cause, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyState,
};
use grades::schema::{Key, Section};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Result, submit};
use serde::{Deserialize, Serialize};

/// Freezes a component once its gradient has fallen at several checks in a row.
#[derive(Debug, Clone)]
pub struct Falling {
    checks: u64,
    history: History,
}

/// All that changes from check to check: what `state` returns and `restore` reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    /// The gradient at the last check; infinite before the first. TOML has no absent value.
    last: f64,
    /// The gradient at the check before that.
    before: f64,
    falls: u64,
}

impl Falling {
    /// Creates a policy that freezes after `checks` falls in a row.
    pub fn new(checks: u64) -> Self {
        Self { checks, history: History { last: f64::INFINITY, before: f64::INFINITY, falls: 0 } }
    }
}

impl FreezePolicy for Falling {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradRms])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let Some(value) = observation.value(Statistic::GradRms).filter(|value| value.is_finite()) else {
            return Decision::Keep;
        };
        let history = &mut self.history;
        history.before = std::mem::replace(&mut history.last, value);
        let fell = history.before.is_finite() && value < history.before;
        history.falls = if fell { history.falls.saturating_add(1) } else { 0 };
        if history.falls < self.checks {
            return Decision::Keep;
        }
        Decision::freeze_below(Self::NAME, Statistic::GradRms, value, history.before)
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let value = observation.value(Statistic::GradRms)?;
        Some(Cause::new(Self::NAME, Statistic::GradRms, value, self.history.before))
    }

    fn state(&self) -> Result<PolicyState> {
        PolicyState::of(&self.history)
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        self.history = state.read(Self::NAME)?;
        Ok(())
    }

    fn is_scale_free(&self) -> bool {
        true
    }
}

impl PolicyConfig for Falling {
    const NAME: &'static str = "falling";
    const SUMMARY: &'static str = "freezes once the gradient has fallen at several checks in a row";
    const KEYS: &'static [Key] = &[Key::new("checks", "falls in a row, at least 1 (3)")];

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self::new(section.integer_or("checks", 3, "at least 1", |checks| checks >= 1)?))
    }
}

submit! { PolicyPlugin::of::<Falling>() }
