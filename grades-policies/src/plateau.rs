//! `plateau`: a gradient that has fallen and no longer changes.

use std::collections::VecDeque;

use grades::policy::{
    Cause, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyState,
    RunPlan,
};
use grades::schema::field::{ABOVE_ZERO, number};
use grades::schema::{ConfigTable, Key, Section, table};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Problems, Result, submit};
use serde::{Deserialize, Serialize};

use crate::common::{self, BETWEEN, Hits, Window};

/// Freezes a component whose gradient is below a share of its peak and flat.
///
/// With a least-squares line through ln E over the last `window` checks, E = Σ|g| ÷ N, it freezes when, at `hits`
/// checks in a row, the mean of ln E is at most ln ρ below its peak's, the line's slope is within ± `slope` a check,
/// and the slope is within two of its standard errors of 0. Flat alone would not do: a gradient is flat before it
/// begins to fall, too.
///
/// ```
/// use grades_policies::Plateau;
///
/// let policy = Plateau::new(0.7, 0.005, 20, 5);
/// ```
#[derive(Debug, Clone)]
pub struct Plateau {
    settings: Settings,
    history: History,
}

table! {
    /// The keys of the policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// The share of the peak.
        rho: f64 = number(0.7, BETWEEN),
        /// The largest change of ln E a check.
        slope: f64 = number(0.005, ABOVE_ZERO),
        /// Checks that the line reaches over.
        window: Window = Window::of_at_least(LEAST, TOO_SHORT),
        /// Checks in a row at which it must hold.
        hits: u64 = common::hits(),
    }
}

/// The shortest window.
const LEAST: u64 = 3;
const TOO_SHORT: &str = "expected at least 3: a line through two points has no error";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    /// ln E at the last checks.
    logs: VecDeque<f64>,
    /// The highest geometric mean of a window so far.
    peak: f64,
    seen: Hits,
}

impl Plateau {
    /// Freezes below the share `rho` of the peak and within ± `slope` a check, over `window` checks, at `hits` checks
    /// in a row.
    pub fn new(rho: f64, slope: f64, window: u64, hits: u64) -> Self {
        let settings = Settings { rho, slope, window: Window::of(window), hits };
        Self { settings, history: History::default() }
    }
}

/// Computes the slope of a least-squares line through values at 0, 1, 2, …, and the slope's standard error.
fn slope(values: &VecDeque<f64>, mean: f64) -> (f64, f64) {
    let n = values.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let offsets = || values.iter().enumerate().map(|(place, value)| (place as f64 - middle, value - mean));
    let spread: f64 = offsets().map(|(x, _)| x * x).sum();
    let slope = offsets().map(|(x, y)| x * y).sum::<f64>() / spread;
    let residuals: f64 = offsets().map(|(x, y)| (y - slope * x).powi(2)).sum();
    (slope, (residuals / (n - 2.0) / spread).sqrt())
}

impl FreezePolicy for Plateau {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradMeanAbs])
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        self.settings.window.plan(run, problems);
        if let Some(key) = self.settings.window.key().filter(|_| self.settings.window.checks() < LEAST) {
            problems.push(key, TOO_SHORT);
        }
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let value =
            observation.value(Statistic::GradMeanAbs).filter(|value| value.is_finite() && *value > 0.0);
        let Some(value) = value else { return Decision::Keep };
        let History { logs, peak, seen } = &mut self.history;
        logs.push_back(value.ln());
        if (logs.len() as u64) > self.settings.window.checks() {
            logs.pop_front();
        }
        if (logs.len() as u64) < self.settings.window.checks() {
            return Decision::Keep;
        }
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        *peak = peak.max(mean.exp());
        let (slope, error) = slope(logs, mean);
        let flat = slope.abs() <= self.settings.slope && slope.abs() <= 2.0 * error + f64::EPSILON;
        let threshold = self.settings.rho * *peak;
        if !seen.count(flat && mean.exp() <= threshold, self.settings.hits) {
            return Decision::Keep;
        }
        Decision::freeze_at_or_below(Self::NAME, Statistic::GradMeanAbs, mean.exp(), threshold)
    }

    fn compares(&self, _: &Observation<'_>) -> Option<Cause> {
        let History { logs, peak, .. } = &self.history;
        if (logs.len() as u64) < self.settings.window.checks() {
            return None;
        }
        let value = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        let threshold = self.settings.rho * *peak;
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

impl PolicyConfig for Plateau {
    const NAME: &'static str = "plateau";
    const SUMMARY: &'static str =
        "freezes once the gradient has fallen below a share of its peak and stays flat";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { settings: Settings::read(section)?, history: History::default() })
    }
}

submit! { PolicyPlugin::of::<Plateau>() }
