//! `signal-fraction`: a gradient of which only noise is left.

use grades::policy::Cooldown;
use grades::policy::{
    Cause, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyState,
    RunPlan,
};
use grades::schema::field::{SHARE, number};
use grades::schema::{ConfigTable, Key, Section, table};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Problems, Result, submit};
use serde::{Deserialize, Serialize};

use crate::common::{self, Average, Hits, LearningRate, Window};

/// Freezes a component once its gradient is all noise: more steps at this learning rate buy it nothing.
///
/// With s the signal fraction of [`MomentFilter`](grades::statistic::MomentFilter), it freezes when the bias-corrected moving
/// average of s over `window` checks is at or below `floor` at `hits` checks in a row. It needs no threshold in the
/// gradient's own unit: s is free of the learning rate, the matrix's size, an adapter's rank and the loss's scale.
/// That a component is at its noise floor does not mean that it is at its optimum, so let it cool down before it
/// freezes (`freezing.cooldown`).
///
/// Checks at which the learning rate has just risen are not counted: a gradient that is small because training has
/// hardly begun says nothing yet.
///
/// It needs an optimizer with momentum whose moments can be read: `grades::optim::{Adam, AdamW, Sgd}`.
///
/// ```
/// use grades_policies::SignalFraction;
///
/// let policy = SignalFraction::new(0.005, 20, 5);
/// ```
#[derive(Debug, Clone)]
pub struct SignalFraction {
    settings: Settings,
    history: History,
}

table! {
    /// The keys of the policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// The share of signal that counts as none.
        floor: f64 = number(0.005, SHARE),
        /// Checks that the average reaches over.
        window: Window = Window::field(),
        /// Checks in a row at which it must hold.
        hits: u64 = common::hits(),
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    average: Average,
    seen: Hits,
    learning_rate: LearningRate,
}

impl SignalFraction {
    /// Freezes when the average over `window` checks is at or below `floor` at `hits` checks in a row.
    pub fn new(floor: f64, window: u64, hits: u64) -> Self {
        let settings = Settings { floor, window: Window::of(window), hits };
        Self { settings, history: History::default() }
    }
}

impl FreezePolicy for SignalFraction {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::SignalFraction])
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        self.settings.window.plan(run, problems);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let Some(value) = observation.value(Statistic::SignalFraction).filter(|value| value.is_finite())
        else {
            return Decision::Keep;
        };
        let History { average, seen, learning_rate } = &mut self.history;
        if learning_rate.has_risen(observation) {
            return Decision::Keep;
        }
        average.push(value, self.settings.window.checks());
        let Some(mean) = average.ready(self.settings.window.checks()) else { return Decision::Keep };
        if !seen.count(mean <= self.settings.floor, self.settings.hits) {
            return Decision::Keep;
        }
        Decision::freeze_at_or_below(Self::NAME, Statistic::SignalFraction, mean, self.settings.floor)
    }

    fn least_checks(&self) -> u64 {
        self.settings.window.checks().saturating_add(self.settings.hits).saturating_sub(1)
    }

    fn default_cooldown(&self) -> Cooldown {
        Cooldown::Share { share: 1.0 }
    }

    fn compares(&self, _: &Observation<'_>) -> Option<Cause> {
        let value = self.history.average.ready(self.settings.window.checks())?;
        Some(Cause::new(Self::NAME, Statistic::SignalFraction, value, self.settings.floor))
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

impl PolicyConfig for SignalFraction {
    const NAME: &'static str = "signal-fraction";
    const SUMMARY: &'static str =
        "freezes once the gradient is all noise; needs no threshold by hand (the default)";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { settings: Settings::read(section)?, history: History::default() })
    }
}

submit! { PolicyPlugin::of::<SignalFraction>().with_alias("auto-threshold") }
