//! `no-progress`: a component whose steps no longer lower the loss.

use grades::policy::{
    Cause, Cooldown, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin,
    PolicyState, RunPlan,
};
use grades::schema::{ConfigTable, Key, Section, table};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Problems, Result, submit};
use serde::{Deserialize, Serialize};

use crate::common::{self, Estimate, Hits, LearningRate, Window};

/// Freezes a component once its progress is no longer different from none.
///
/// [`Statistic::Progress`] is how much the loss falls a step by this component, in the loss's own unit. Of it the policy
/// follows the moving average over `window` checks and its standard error, from the values' own variance. It freezes when
/// the average is at most `z` standard errors above 0 at `hits` checks in a row: a significance in place of a threshold. An
/// average below 0 is no progress either: at its noise floor a component overshoots as often as not.
///
/// Checks at which the learning rate has just risen are not counted. That progress has ended at this learning rate does not
/// mean that a smaller one would bring nothing, so let the component cool down before it freezes (`freezing.cooldown`).
///
/// It needs an optimizer with momentum whose moments can be read: `grades::optim::{Adam, AdamW, Sgd}`.
///
/// ```
/// use grades_policies::NoProgress;
///
/// let policy = NoProgress::new(1.0, 50, 5);
/// # let _ = policy;
/// ```
#[derive(Debug, Clone)]
pub struct NoProgress {
    settings: Settings,
    history: History,
}

table! {
    /// The keys of the policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// Standard errors that a progress must be above; more freezes sooner.
        z: f64 = common::z(),
        /// Checks that the average reaches over.
        window: Window = Window::tenth(2),
        /// Checks in a row at which it must hold.
        hits: u64 = common::hits(),
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    progress: Estimate,
    seen: Hits,
    learning_rate: LearningRate,
}

impl NoProgress {
    /// Freezes when the average over `window` checks is at most `z` standard errors above 0 at `hits` checks in a row.
    pub fn new(z: f64, window: u64, hits: u64) -> Self {
        let settings = Settings { z, window: Window::of(window), hits };
        Self { settings, history: History::default() }
    }
}

impl FreezePolicy for NoProgress {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::Progress])
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        self.settings.window.plan(run, problems);
        self.settings.window.check_error(problems);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let Some(value) = observation.value(Statistic::Progress).filter(|value| value.is_finite()) else {
            return Decision::Keep;
        };
        if self.history.learning_rate.has_risen(observation) {
            return Decision::Keep;
        }
        self.history.progress.push(value, self.settings.window.checks());
        let Some(cause) = self.compares(observation) else { return Decision::Keep };
        if self.history.seen.count(cause.value <= cause.threshold, self.settings.hits) {
            Decision::Freeze(cause)
        } else {
            Decision::Keep
        }
    }

    fn least_checks(&self) -> u64 {
        self.settings.window.checks().saturating_add(self.settings.hits).saturating_sub(1)
    }

    fn default_cooldown(&self) -> Cooldown {
        Cooldown::Share { share: 1.0 }
    }

    fn compares(&self, _: &Observation<'_>) -> Option<Cause> {
        let (mean, error) = self.history.progress.ready(self.settings.window.checks())?;
        Some(Cause::new(Self::NAME, Statistic::Progress, mean, self.settings.z * error))
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

impl PolicyConfig for NoProgress {
    const NAME: &'static str = "no-progress";
    const SUMMARY: &'static str =
        "freezes once the component's steps no longer lower the loss beyond their own error";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { settings: Settings::read(section)?, history: History::default() })
    }
}

submit! { PolicyPlugin::of::<NoProgress>() }
