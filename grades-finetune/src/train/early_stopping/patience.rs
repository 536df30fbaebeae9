//! How long a run goes on without getting better.

use serde::{Deserialize, Serialize};

use crate::config::EarlyStoppingConfig;

/// Counts evaluations in a row that are no better than those before.
///
/// ```
/// use grades_finetune::config::EarlyStoppingConfig;
/// use grades_finetune::records::Metric;
/// use grades_finetune::train::Patience;
///
/// let config = EarlyStoppingConfig { metric: Metric::Loss, patience: 2, min_delta: 0.1, restore_best: true };
/// let mut patience = Patience::new(config);
/// let stops: Vec<bool> = [(10, 1.0), (20, 0.95), (30, 0.97)].map(|(step, loss)| patience.take(step, loss).stop).into();
/// // 0.95 is the best, but not better by 0.1, so the second evaluation counts as well.
/// assert_eq!(stops, [false, false, true]);
/// assert_eq!(patience.best_step(), Some(20));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Patience {
    config: EarlyStoppingConfig,
    /// The best value, and its step.
    best: Option<(u64, f64)>,
    /// What must be beaten by `min_delta`: the last value that did so itself.
    reference: Option<f64>,
    /// Evaluations since then.
    waited: u64,
}

/// What a [`Patience`] has seen, to be written in a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::train) struct PatienceState {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best_step: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<f64>,
    waited: u64,
}

/// What an evaluation means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It is the best so far, be it by however little. Of several that are as good the first one is.
    pub is_best: bool,
    /// The run is to end.
    pub stop: bool,
}

impl Patience {
    /// Before the first evaluation.
    pub fn new(config: EarlyStoppingConfig) -> Self {
        Self { config, best: None, reference: None, waited: 0 }
    }

    /// Takes in the value of an evaluation after a step; a value that is no number is never better.
    pub fn take(&mut self, step: u64, value: f64) -> Verdict {
        let metric = self.config.metric;
        let beats = |other: Option<f64>, delta: f64| {
            !value.is_nan() && other.is_none_or(|other| metric.is_better(value, other, delta))
        };
        let is_best = beats(self.best.map(|(_, best)| best), 0.0);
        if is_best {
            self.best = Some((step, value));
        }
        if beats(self.reference, self.config.min_delta) {
            self.reference = Some(value);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        Verdict { is_best, stop: self.waited >= self.config.patience }
    }

    /// What it has seen.
    pub(in crate::train) fn state(&self) -> PatienceState {
        let (best_step, best) = self.best.unzip();
        PatienceState { best_step, best, reference: self.reference, waited: self.waited }
    }

    /// Goes on from what one with the same configuration had seen.
    pub(in crate::train) fn restore(&mut self, state: &PatienceState) {
        self.best = state.best_step.zip(state.best);
        (self.reference, self.waited) = (state.reference, state.waited);
    }

    /// The step of the best evaluation; `None` before there is one.
    pub fn best_step(&self) -> Option<u64> {
        self.best.map(|(step, _)| step)
    }
}
