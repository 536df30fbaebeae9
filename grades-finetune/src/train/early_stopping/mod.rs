//! Early stopping: ends a run by its evaluations, and restores the weights of the best one.

mod best_weights;
mod patience;

pub use patience::{Patience, Verdict};

use anyhow::Result;
use tch::Tensor;
use tch::nn::VarStore;

use self::best_weights::BestWeights;
use crate::config::EarlyStoppingConfig;
use crate::records::Evaluation;
use crate::state::EarlyStoppingState;

/// The early stopping of a run.
pub(super) struct EarlyStopping {
    config: EarlyStoppingConfig,
    patience: Patience,
    best: Option<BestWeights>,
    /// The step of the last evaluation.
    last_step: u64,
    /// The step whose weights were restored, unless the last ones were the best.
    restored_step: Option<u64>,
}

impl EarlyStopping {
    /// Makes it for the variables that train now; those that freeze later are among them.
    pub(super) fn new(config: EarlyStoppingConfig, store: &VarStore) -> Self {
        let best = config.restore_best.then(|| BestWeights::of(store));
        Self { config, patience: Patience::new(config), best, last_step: 0, restored_step: None }
    }

    /// Adds the evaluation after a step; copies the weights if it is the best.
    pub(super) fn add(&mut self, step: u64, evaluation: &Evaluation) -> Result<Verdict> {
        // A run whose evaluations do not measure it is refused before its first step.
        let value = self.config.metric.of(evaluation).unwrap_or(f64::NAN);
        let verdict = self.patience.add(step, value);
        self.last_step = step;
        if verdict.is_best
            && let Some(best) = &mut self.best
        {
            best.copy()?;
        }
        Ok(verdict)
    }

    /// Returns its state.
    pub(super) fn state(&self) -> EarlyStoppingState {
        EarlyStoppingState { last_step: self.last_step, patience: self.patience.state().clone() }
    }

    /// Returns the best weights; empty before the first evaluation.
    pub(super) fn best_weights(&self) -> Vec<(String, Tensor)> {
        self.best.as_ref().map(BestWeights::copies).unwrap_or_default()
    }

    /// Restores a state; returns the tensors to read the best weights into, if there are any.
    pub(super) fn restore(&mut self, state: &EarlyStoppingState) -> Result<Vec<(String, Tensor)>> {
        self.patience.restore(state.patience.clone());
        self.last_step = state.last_step;
        match &mut self.best {
            Some(best) if self.patience.best_step().is_some() => {
                best.allocate()?;
                Ok(best.copies())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Returns whether the weights after this step were evaluated.
    pub(super) fn has_seen(&self, step: u64) -> bool {
        self.last_step == step
    }

    /// Returns whether the run ends with the weights of its best evaluation.
    pub(super) fn restores_best(&self) -> bool {
        self.config.restore_best
    }

    /// Returns the step of the best evaluation.
    pub(super) fn best_step(&self) -> Option<u64> {
        self.patience.best_step()
    }

    /// Returns the step whose weights were restored.
    pub(super) fn restored_step(&self) -> Option<u64> {
        self.restored_step
    }

    /// Restores the weights of the best evaluation, unless the last ones are the best; returns their step.
    pub(super) fn restore_best(&mut self) -> Result<Option<u64>> {
        let step = self.patience.best_step().filter(|step| *step != self.last_step);
        if let (Some(best), Some(step)) = (&self.best, step) {
            best.restore()?;
            self.restored_step = Some(step);
        }
        Ok(self.restored_step)
    }
}
