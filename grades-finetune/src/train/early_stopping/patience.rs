//! The patience of early stopping.

use crate::config::EarlyStoppingConfig;
use crate::state::PatienceState;

/// Counts evaluations in a row that do not improve.
///
/// ```
/// use grades_finetune::config::EarlyStoppingConfig;
/// use grades_finetune::records::Metric;
/// use grades_finetune::train::Patience;
///
/// let config = EarlyStoppingConfig { metric: Metric::Loss, patience: 2, min_delta: 0.1, restore_best: true };
/// let mut patience = Patience::new(config);
/// let stops: Vec<bool> = [(10, 1.0), (20, 0.95), (30, 0.97)].map(|(step, loss)| patience.add(step, loss).stop).into();
/// // 0.95 is the best, but not better by 0.1, so the second evaluation counts as well.
/// assert_eq!(stops, [false, false, true]);
/// assert_eq!(patience.best_step(), Some(20));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Patience {
    config: EarlyStoppingConfig,
    state: PatienceState,
}

/// The consequence of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Best so far by any margin; ties keep the first.
    pub is_best: bool,
    /// The run is to end.
    pub stop: bool,
}

impl Patience {
    /// Makes it, before the first evaluation.
    pub fn new(config: EarlyStoppingConfig) -> Self {
        Self { config, state: PatienceState::default() }
    }

    /// Adds the value of an evaluation after a step; NaN never improves.
    pub fn add(&mut self, step: u64, value: f64) -> Verdict {
        let metric = self.config.metric;
        let beats = |other: Option<f64>, delta: f64| {
            !value.is_nan() && other.is_none_or(|other| metric.is_better(value, other, delta))
        };
        let state = &mut self.state;
        let is_best = beats(state.best, 0.0);
        if is_best {
            (state.best_step, state.best) = (Some(step), Some(value));
        }
        if beats(state.reference, self.config.min_delta) {
            state.reference = Some(value);
            state.waited = 0;
        } else {
            state.waited += 1;
        }
        Verdict { is_best, stop: state.waited >= self.config.patience }
    }

    /// Returns its state.
    pub fn state(&self) -> &PatienceState {
        &self.state
    }

    /// Restores the state of one with the same configuration.
    pub fn restore(&mut self, state: PatienceState) {
        self.state = state;
    }

    /// Returns the step of the best evaluation; `None` before there is one.
    pub fn best_step(&self) -> Option<u64> {
        self.state.best_step
    }
}
