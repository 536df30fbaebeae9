//! `two-batch`: signal and noise from a small and a large batch.

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

use crate::common::{self, Average, Hits, Window};

/// Freezes a component once the signal in its accumulated gradient is drowned by noise.
///
/// With |G|² and tr(Σ) ÷ B estimated at each step from the first micro-batch and the whole step (see
/// [`TwoBatch`](grades::statistic::TwoBatch)), each averaged over `window` checks on its own, φ = |G|² ÷ (|G|² + tr(Σ) ÷ B);
/// it freezes when φ ≤ `floor` at `hits` checks in a row (after McCandlish et al., arXiv 1812.06162). It works with
/// any optimizer (tch's own with `cooling = "average"`), and needs gradient accumulation over at least two micro-batches.
///
/// ```
/// use grades_policies::TwoBatchNoise;
///
/// let policy = TwoBatchNoise::new(0.05, 20, 5);
/// ```
#[derive(Debug, Clone)]
pub struct TwoBatchNoise {
    settings: Settings,
    history: History,
}

table! {
    /// The keys of the policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// The share of signal that counts as none.
        floor: f64 = number(0.05, SHARE),
        /// Checks that the average reaches over.
        window: Window = Window::field(),
        /// Checks in a row at which it must hold.
        hits: u64 = common::hits(),
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    signal: Average,
    noise: Average,
    seen: Hits,
}

impl History {
    /// Returns the share of signal in the power, by the averages, once they are ready.
    fn share(&self, window: u64) -> Option<f64> {
        let (signal, noise) = self.signal.ready(window).zip(self.noise.ready(window))?;
        // An estimate of the signal below 0 is a signal too small to be seen; no power at all says nothing.
        let (signal, noise) = (signal.max(0.0), noise.max(0.0));
        (signal + noise != 0.0).then(|| signal / (signal + noise))
    }
}

impl TwoBatchNoise {
    /// Freezes when φ over `window` checks is at or below `floor` at `hits` checks in a row.
    pub fn new(floor: f64, window: u64, hits: u64) -> Self {
        let settings = Settings { floor, window: Window::of(window), hits };
        Self { settings, history: History::default() }
    }
}

impl FreezePolicy for TwoBatchNoise {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::TwoBatchSignal, Statistic::TwoBatchNoise])
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        self.settings.window.plan(run, problems);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let finite = |statistic| observation.value(statistic).filter(|value| value.is_finite());
        let (Some(signal), Some(noise)) =
            (finite(Statistic::TwoBatchSignal), finite(Statistic::TwoBatchNoise))
        else {
            return Decision::Keep;
        };
        let history = &mut self.history;
        history.signal.push(signal, self.settings.window.checks());
        history.noise.push(noise, self.settings.window.checks());
        let Some(share) = history.share(self.settings.window.checks()) else { return Decision::Keep };
        if !history.seen.count(share <= self.settings.floor, self.settings.hits) {
            return Decision::Keep;
        }
        Decision::freeze_at_or_below(Self::NAME, Statistic::TwoBatchSignal, share, self.settings.floor)
    }

    fn least_checks(&self) -> u64 {
        self.settings.window.checks().saturating_add(self.settings.hits).saturating_sub(1)
    }

    fn default_cooldown(&self) -> Cooldown {
        Cooldown::Share { share: 1.0 }
    }

    fn compares(&self, _: &Observation<'_>) -> Option<Cause> {
        let value = self.history.share(self.settings.window.checks())?;
        Some(Cause::new(Self::NAME, Statistic::TwoBatchSignal, value, self.settings.floor))
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

impl PolicyConfig for TwoBatchNoise {
    const NAME: &'static str = "two-batch";
    const SUMMARY: &'static str = "freezes once noise drowns the signal, judged by accumulated micro-batches";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { settings: Settings::read(section)?, history: History::default() })
    }
}

submit! { PolicyPlugin::of::<TwoBatchNoise>() }
