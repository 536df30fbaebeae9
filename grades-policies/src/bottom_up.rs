//! `bottom-up`: the lowest blocks, once their gradients change little.

use grades::policy::{
    Cause, Decision, FreezePolicy, Measure, Observation, Peers, PolicyBuilder, PolicyConfig, PolicyPlugin,
    PolicyState, RunPlan, Score,
};
use grades::schema::field::{Range, number};
use grades::schema::{ConfigTable, Key, Section, table};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Problems, Result, submit};
use serde::{Deserialize, Serialize};

use crate::common::Window;

const PERCENT: Range = Range::new("a number from 0 to 100", |percent| (0.0..=100.0).contains(&percent));

/// Freezes the lowest blocks, in order, as long as their gradients change less than those of the others: AutoFreeze (Liu,
/// Agarwal and Venkataraman, arXiv 2102.01386, section 4.1).
///
/// A run is cut into intervals of `window` checks. With n the mean L2 norm of a matrix's gradient over an interval,
/// η = |n − n'| ÷ n', n' being that of the interval before; a block's η is the mean over its matrices. At the end of an interval the
/// lowest block that trains freezes if its η is at or below the `percentile` of all blocks that train, then the one above,
/// and so on up to the first that is above it. The highest block never freezes.
///
/// It differs from the paper, which takes the norm of the gradients' sum over an interval and so needs another copy of all
/// gradients: the mean of the norms needs none. As in the paper, a block freezes at once, unless `freezing.cooldown` says otherwise.
///
/// ```
/// use grades_policies::BottomUp;
///
/// let policy = BottomUp::new(50.0, 100);
/// # let _ = policy;
/// ```
#[derive(Debug, Clone)]
pub struct BottomUp {
    settings: Settings,
    history: History,
}

table! {
    /// The keys of the policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// Percentile of the changes of all blocks at or below which a block freezes.
        percentile: f64 = number(50.0, PERCENT),
        /// Checks of an interval.
        window: Window = Window::tenth(1),
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    /// The sum of the norms in the interval so far.
    sum: f64,
    checks: u64,
    /// The mean norm in the interval before; infinite when there was none, for TOML has no absent value.
    before: f64,
}

impl Default for History {
    fn default() -> Self {
        Self { sum: 0.0, checks: 0, before: f64::INFINITY }
    }
}

impl BottomUp {
    /// Freezes the lowest blocks whose change is at or below this percentile, judged by intervals of `window` checks.
    pub fn new(percentile: f64, window: u64) -> Self {
        let settings = Settings { percentile, window: Window::of(window) };
        Self { settings, history: History::default() }
    }

    /// Compares the block of a component, and returns whether it may freeze; `None` where it has no change yet, or where it is the highest.
    fn weigh(&self, peers: &Peers, layer: u32) -> Option<(Cause, bool)> {
        let blocks = peers.blocks().iter().filter(|block| block.scored > 0);
        let changes = blocks.filter_map(|block| Some((block.layer?, block.score / block.scored as f64)));
        let changes: Vec<(u32, f64)> = changes.collect();
        let own =
            changes.iter().position(|(other, _)| *other == layer).filter(|own| own + 1 < changes.len())?;
        let mut sorted: Vec<f64> = changes.iter().map(|(_, change)| *change).collect();
        sorted.sort_by(f64::total_cmp);
        let threshold = percentile(&sorted, self.settings.percentile)?;
        let in_order = changes[..=own].iter().all(|(_, change)| *change <= threshold);
        Some((Cause::new(Self::NAME, Measure::GradientChange, changes[own].1, threshold), in_order))
    }
}

/// Returns the percentile of sorted values, between two of them in a straight line.
fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let place = percent / 100.0 * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(low + (high - low) * place.fract())
}

impl FreezePolicy for BottomUp {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL2])
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        self.settings.window.plan(run, problems);
    }

    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
        let norm = observation.value(Statistic::GradL2).filter(|value| value.is_finite())?;
        let History { sum, checks, before } = &mut self.history;
        *sum += norm;
        *checks += 1;
        if *checks < self.settings.window.checks() {
            return None;
        }
        let mean = *sum / *checks as f64;
        let change = (mean - *before).abs() / *before;
        self.history = History { before: mean, ..History::default() };
        change.is_finite().then(|| Score::new(Measure::GradientChange, change))
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let weighed = observation.peers().zip(observation.component().layer);
        match weighed.and_then(|(peers, layer)| self.weigh(peers, layer)) {
            Some((cause, true)) => Decision::Freeze(cause),
            _ => Decision::Keep,
        }
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let (peers, layer) = observation.peers().zip(observation.component().layer)?;
        self.weigh(peers, layer).map(|(cause, _)| cause)
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

impl PolicyConfig for BottomUp {
    const NAME: &'static str = "bottom-up";
    const SUMMARY: &'static str =
        "freezes the lowest blocks once their gradients change less than the others' (AutoFreeze)";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { settings: Settings::read(section)?, history: History::default() })
    }
}

submit! { PolicyPlugin::of::<BottomUp>() }
