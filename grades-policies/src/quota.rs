//! `quota`: a number of components by a schedule, the quietest first.

use grades::policy::{
    Cause, Decision, FreezePolicy, Measure, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin,
    PolicyState, RunPlan, Score,
};
use grades::schema::field::{SHARE_ABOVE_ZERO, number};
use grades::schema::{ConfigTable, Key, Section, table};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Problems, Result, submit};
use serde::{Deserialize, Serialize};

use crate::common::{Average, Window};

/// Freezes the components whose gradients have fallen furthest, as many as a schedule allows.
///
/// With x the progress of the run from 0 to 1, f·(1 − (1 − x)³) of all components may be frozen, the cubic schedule
/// of gradual pruning (Zhu and Gupta, arXiv 1710.01878, Eq. 1). Components are ranked by E ÷ max E, where E is the
/// bias-corrected moving average of Σ|g| ÷ N over `window` checks. The run's cost is then known before it begins.
///
/// ```
/// use grades_policies::Quota;
///
/// let policy = Quota::new(0.8, 20);
/// ```
#[derive(Debug, Clone)]
pub struct Quota {
    settings: Settings,
    history: History,
}

table! {
    /// The keys of the policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// Share of the components that it freezes.
        max_share: f64 = number(1.0, SHARE_ABOVE_ZERO),
        /// Checks that the average reaches over.
        window: Window = Window::field(),
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    average: Average,
    peak: f64,
}

impl Quota {
    /// Freezes up to the share `max_share` of the components, judged by averages over `window` checks.
    pub fn new(max_share: f64, window: u64) -> Self {
        let settings = Settings { max_share, window: Window::of(window) };
        Self { settings, history: History::default() }
    }
}

impl FreezePolicy for Quota {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradMeanAbs])
    }

    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
        let value = observation.value(Statistic::GradMeanAbs).filter(|value| value.is_finite())?;
        let History { average, peak } = &mut self.history;
        average.push(value, self.settings.window.checks());
        let mean = average.ready(self.settings.window.checks())?;
        *peak = peak.max(mean);
        (*peak > 0.0).then(|| Score::new(Statistic::GradMeanAbs, mean / *peak))
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        self.settings.window.plan(run, problems);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        match self.compares(observation) {
            Some(cause) if cause.value < cause.threshold => Decision::Freeze(cause),
            _ => Decision::Keep,
        }
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let finite = observation.value(Statistic::GradMeanAbs).is_some_and(f64::is_finite);
        let rank = observation.rank().filter(|_| finite)?;
        let population = observation.population();
        let share = self.settings.max_share * (1.0 - (1.0 - observation.progress()).powi(3));
        // Rounding must not take the last component of a full share away.
        let allowed = (share * population.total() as f64 + 1e-9).floor();
        let left = allowed - population.decided() as f64;
        Some(Cause::new(Self::NAME, Measure::Rank, rank as f64, left))
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

impl PolicyConfig for Quota {
    const NAME: &'static str = "quota";
    const SUMMARY: &'static str =
        "freezes the quietest components, as many as a schedule over the run allows";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { settings: Settings::read(section)?, history: History::default() })
    }
}

submit! { PolicyPlugin::of::<Quota>() }
