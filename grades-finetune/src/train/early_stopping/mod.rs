//! Ending a run by its evaluations: how long to wait, and the weights of the best one.

mod patience;
mod weights;

pub(super) use patience::PatienceState;
pub use patience::{Patience, Verdict};
pub(super) use weights::BestWeights;

use anyhow::Result;
use tch::Tensor;
use tch::nn::VarStore;

use crate::config::EarlyStoppingConfig;
use crate::records::{Evaluation, Metric};

/// The early stopping of a run under way.
pub(super) struct EarlyStopping {
    config: EarlyStoppingConfig,
    patience: Patience,
    best: Option<BestWeights>,
    /// The step of the last evaluation.
    last: u64,
    /// The step whose weights the run ended with, where that is not its last.
    restored: Option<u64>,
}

impl EarlyStopping {
    /// Over the variables that train now; what freezes later is among them.
    pub(super) fn new(config: EarlyStoppingConfig, store: &VarStore) -> Self {
        let best = config.restore_best.then(|| BestWeights::of(store));
        Self { config, patience: Patience::new(config), best, last: 0, restored: None }
    }

    /// Takes in an evaluation after a step; the answer is whether the run is to end.
    pub(super) fn take(&mut self, step: u64, evaluation: &Evaluation) -> Result<Verdict> {
        let value = match self.config.metric {
            Metric::Loss => evaluation.loss,
            // A run without an accuracy is refused before its first step.
            Metric::Accuracy => evaluation.accuracy.unwrap_or(f64::NAN),
        };
        let verdict = self.patience.take(step, value);
        self.last = step;
        if verdict.is_best
            && let Some(best) = &mut self.best
        {
            best.keep()?;
        }
        Ok(verdict)
    }

    /// What it has seen, the step of the last evaluation, and the best weights that are kept.
    pub(super) fn saved(&self) -> (PatienceState, u64, Vec<(String, Tensor)>) {
        let copies = self.best.as_ref().map(BestWeights::copies).unwrap_or_default();
        (self.patience.state(), self.last, copies)
    }

    /// Goes on from what was saved; the tensors that come back are to be filled with the best weights, if there are any.
    pub(super) fn restored_from(
        &mut self,
        state: &PatienceState,
        last: u64,
    ) -> Result<Vec<(String, Tensor)>> {
        self.patience.restore(state);
        self.last = last;
        match &mut self.best {
            Some(best) if self.patience.best_step().is_some() => {
                best.make_room()?;
                Ok(best.copies())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the weights after this step were evaluated.
    pub(super) fn has_seen(&self, step: u64) -> bool {
        self.last == step
    }

    /// The step of the best evaluation.
    pub(super) fn best_step(&self) -> Option<u64> {
        self.patience.best_step()
    }

    /// The step whose weights were put back.
    pub(super) fn restored(&self) -> Option<u64> {
        self.restored
    }

    /// Puts the best evaluation's weights back, where the last ones are others; the step they are of.
    pub(super) fn restore(&mut self) -> Result<Option<u64>> {
        let step = self.patience.best_step().filter(|step| *step != self.last);
        if let (Some(best), Some(step)) = (&self.best, step) {
            best.restore()?;
            self.restored = Some(step);
        }
        Ok(self.restored)
    }
}
