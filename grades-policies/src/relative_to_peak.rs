//! `relative-to-peak`: a gradient that has fallen to a share of its largest.

use grades::policy::{
    Cause, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyState,
    RunPlan,
};
use grades::schema::field::number;
use grades::schema::{ConfigTable, Key, Section, table};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Problems, Result, submit};
use serde::{Deserialize, Serialize};

use crate::common::{self, Average, BETWEEN, Hits, Window};

/// Freezes a component whose mean absolute gradient has fallen to a share of its peak.
///
/// With E the bias-corrected moving average of Σ|g| ÷ N over `window` checks, it freezes when E ≤ ρ · max E at `hits`
/// checks in a row. Free of the matrix's size and of the loss's scale. It never fires where the gradient's noise
/// stays above ρ times the peak, as small batches make it.
///
/// ```
/// use grades_policies::RelativeToPeak;
///
/// let policy = RelativeToPeak::new(0.5, 20, 5);
/// ```
#[derive(Debug, Clone)]
pub struct RelativeToPeak {
    settings: Settings,
    history: History,
}

table! {
    /// The keys of the policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// The share of the peak.
        rho: f64 = number(0.5, BETWEEN),
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
    peak: f64,
    seen: Hits,
}

impl RelativeToPeak {
    /// Freezes below the share `rho` of the peak of an average over `window` checks, at `hits` checks in a row.
    pub fn new(rho: f64, window: u64, hits: u64) -> Self {
        let settings = Settings { rho, window: Window::of(window), hits };
        Self { settings, history: History::default() }
    }
}

impl FreezePolicy for RelativeToPeak {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradMeanAbs])
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        self.settings.window.plan(run, problems);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let Some(value) = observation.value(Statistic::GradMeanAbs).filter(|value| value.is_finite()) else {
            return Decision::Keep;
        };
        let History { average, peak, seen } = &mut self.history;
        average.push(value, self.settings.window.checks());
        let Some(mean) = average.ready(self.settings.window.checks()) else { return Decision::Keep };
        *peak = peak.max(mean);
        let threshold = self.settings.rho * *peak;
        if !seen.count(mean <= threshold, self.settings.hits) {
            return Decision::Keep;
        }
        Decision::freeze_at_or_below(Self::NAME, Statistic::GradMeanAbs, mean, threshold)
    }

    fn compares(&self, _: &Observation<'_>) -> Option<Cause> {
        let value = self.history.average.ready(self.settings.window.checks())?;
        let threshold = self.settings.rho * self.history.peak;
        Some(Cause::new(Self::NAME, Statistic::GradMeanAbs, value, threshold))
    }

    fn least_checks(&self) -> u64 {
        self.settings.window.checks().saturating_add(self.settings.hits).saturating_sub(1)
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

impl PolicyConfig for RelativeToPeak {
    const NAME: &'static str = "relative-to-peak";
    const SUMMARY: &'static str = "freezes once the mean absolute gradient has fallen to a share of its peak";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { settings: Settings::read(section)?, history: History::default() })
    }
}

submit! { PolicyPlugin::of::<RelativeToPeak>() }
