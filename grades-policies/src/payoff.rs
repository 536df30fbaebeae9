//! `payoff`: components that bring less than they cost.

use grades::policy::{
    BlockPeers, Cause, Cooldown, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig,
    PolicyPlugin, PolicyState, RunPlan, Score,
};
use grades::schema::field::{SHARE_ABOVE_ZERO, number};
use grades::schema::{ConfigTable, Key, Section, table};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Problems, Result, submit};
use serde::{Deserialize, Serialize};

use crate::common::{self, Estimate, Hits, LearningRate, Window};

/// Freezes the components whose progress does not pay for their cost, so that what still trains brings more for it.
///
/// With p the moving average of [`Statistic::Progress`] over `window` checks and e its standard error, P = Σp over all that
/// trains, C the cost of a step ([`StepCosts`](grades::policy::StepCosts)) and ΔC(S) how much of it falls away without a set
/// S, it freezes, at `hits` checks in a row,
///
/// - a component, or all components of the lowest blocks, if Σ(p + z·e) ≤ `worth` · P ÷ C · ΔC(S): even at the upper end of
///   its error the set brings less than `worth` times what the run brings for the same cost. Of several such prefixes it is
///   the one after which progress ÷ cost is highest;
/// - everything, if P ≤ z·√Σe²: the whole makes no progress.
///
/// Without a prefix's backward pass (and its forward pass, where its output is cached) a whole block saves more than its
/// components one by one, so low blocks freeze early where they give little, and only there. Errors of a sum are taken at
/// their upper end for the first rule (as if all were the same noise) and at their lower end for the second (as if they
/// were independent): both ways a set freezes later rather than sooner.
///
/// Only components whose policy is this one are weighed; others cost, and bring nothing that it knows of.
///
/// ```
/// use grades_policies::Payoff;
///
/// let policy = Payoff::new(0.25, 1.0, 50, 5);
/// # let _ = policy;
/// ```
#[derive(Debug, Clone)]
pub struct Payoff {
    settings: Settings,
    history: History,
}

table! {
    /// The keys of the policy.
    #[derive(Debug, Clone)]
    struct Settings = "freezing.policy" {
        /// Share of the run's progress per cost at or below which a set freezes.
        worth: f64 = number(0.25, SHARE_ABOVE_ZERO),
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

impl Payoff {
    /// Freezes what brings at most the share `worth` of the run's own progress per cost, `z` standard errors included, judged
    /// by averages over `window` checks, at `hits` checks in a row.
    pub fn new(worth: f64, z: f64, window: u64, hits: u64) -> Self {
        let settings = Settings { worth, z, window: Window::of(window), hits };
        Self { settings, history: History::default() }
    }

    /// Compares what a set brings at most with what its cost would have to bring.
    fn compared(brings: f64, needed: f64) -> Cause {
        Cause::new(Self::NAME, Statistic::Progress, brings, needed)
    }
}

/// Sums a value over blocks.
fn sum(blocks: &[BlockPeers], value: impl Fn(&BlockPeers) -> f64) -> f64 {
    blocks.iter().map(value).sum()
}

impl FreezePolicy for Payoff {
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

    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
        let value = observation.value(Statistic::Progress).filter(|value| value.is_finite())?;
        if self.history.learning_rate.has_risen(observation) {
            return None;
        }
        self.history.progress.push(value, self.settings.window.checks());
        let (mean, error) = self.history.progress.ready(self.settings.window.checks())?;
        Some(Score::new(Statistic::Progress, mean).with_error(error))
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
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

    /// Compares the set that freezes, or else the component alone.
    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let peers = observation.peers()?;
        let (own, own_error) = self.history.progress.ready(self.settings.window.checks())?;
        let blocks = peers.blocks();
        // While some have no average yet, the sum over all is not known.
        if blocks.iter().any(|block| block.waiting > 0) {
            return None;
        }
        let total = sum(blocks, |block| block.score);
        let error = self.settings.z * sum(blocks, |block| block.squared_error).sqrt();
        if total <= error {
            return Some(Self::compared(total, error));
        }
        let cost = peers.cost();
        let price = self.settings.worth * total / cost;
        let most = |block: &BlockPeers| block.score + self.settings.z * block.error;
        let layer = observation.component().layer;
        // The lowest blocks up to that of this component, or more; never all that train.
        let first = blocks.iter().position(|block| block.layer == layer).filter(|_| layer.is_some());
        let top = blocks.iter().rposition(|block| block.scored > 0).unwrap_or(0);
        let prefixes = (first.map_or(top, |first| first + 1)..=top).filter_map(|end| {
            let (below, left) = (peers.cost_from(end), total - sum(&blocks[..end], |block| block.score));
            let cause = Self::compared(sum(&blocks[..end], most), price * (cost - below));
            let inside = blocks[..end].iter().all(|block| block.layer.is_some() && block.others == 0);
            (inside && cause.value <= cause.threshold).then_some((left / below, cause))
        });
        let best = prefixes.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|_| first.is_some());
        let alone = || {
            let saved = observation.cost().weight_gradient;
            Self::compared(own + self.settings.z * own_error, price * saved)
        };
        Some(best.map_or_else(alone, |(_, cause)| cause))
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

impl PolicyConfig for Payoff {
    const NAME: &'static str = "payoff";
    const SUMMARY: &'static str =
        "freezes what brings less progress than its share of the cost, the lowest blocks together";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { settings: Settings::read(section)?, history: History::default() })
    }
}

submit! { PolicyPlugin::of::<Payoff>() }
