//! A policy from outside of the family: it depends on nothing but `grades`, and nothing knows of it.

use grades::policy::{
    Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyState,
};
use grades::schema::{Key, Section};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Result, submit};
use serde::{Deserialize, Serialize};

/// Freezes a component once its gradient has been smaller than at the check before, so many checks in a row.
#[derive(Debug, Clone)]
pub struct Falling {
    checks: u64,
    history: History,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    last: Option<f64>,
    falls: u64,
}

impl Falling {
    /// Freezes after so many falls in a row.
    pub fn new(checks: u64) -> Self {
        Self { checks, history: History::default() }
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
        let last = self.history.last.replace(value);
        self.history.falls = match last {
            Some(last) if value < last => self.history.falls.saturating_add(1),
            _ => 0,
        };
        match last {
            Some(last) if self.history.falls >= self.checks => {
                Decision::freeze_below(Self::NAME, Statistic::GradRms, value, last)
            }
            _ => Decision::Keep,
        }
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
    const SUMMARY: &'static str = "freezes once the gradient has fallen several checks in a row";
    const KEYS: &'static [Key] = &[Key::new("checks", "falls in a row, at least 1 (3)")];

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self::new(section.integer_or("checks", 3, "at least 1", |checks| checks >= 1)?))
    }
}

submit! { PolicyPlugin::of::<Falling>() }
