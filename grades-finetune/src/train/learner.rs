//! The model of a run with its optimizer.

use std::path::Path;

use grades::tracker::StepReport;
use grades_lora::Result;

use super::prefix::follow;
use super::saver::Saver;
use super::step_loader::StepLoader;
use crate::cache::ActivationCache;
use crate::records::StepMemory;
use crate::run::resident_memory;
use crate::tasks::{Optimizer, Task, TrainedAdapter, merge_frozen};

/// The model of a run with its optimizer, and the outputs of its frozen blocks.
pub(super) struct Learner {
    pub(super) task: Box<dyn Task>,
    pub(super) adapter: Option<TrainedAdapter>,
    pub(super) optimizer: Optimizer,
    pub(super) cache: ActivationCache,
    /// The estimated size of the model's files.
    pub(super) model_bytes: u64,
}

impl Learner {
    /// Returns the model and the outputs of its frozen blocks, for an evaluation.
    pub(super) fn model(&mut self) -> (&dyn Task, &mut ActivationCache) {
        (self.task.as_ref(), &mut self.cache)
    }

    /// Returns the number of optimizer steps.
    pub(super) fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Has the model and the cache follow the freezes and thaws; returns a fact for the user, if there is one.
    pub(super) fn follow_freezes(&mut self, loader: &StepLoader) -> Option<String> {
        follow(&mut self.cache, self.task.as_mut(), &self.optimizer, loader)
    }

    /// Merges the adapters that a report froze; returns the names of their layers.
    pub(super) fn merge_frozen(&mut self, report: &StepReport) -> Result<Vec<String>> {
        merge_frozen(self.adapter.as_mut(), self.task.as_mut(), report)
    }

    /// Follows the weights of an earlier step, which were put back: none of the cached outputs is theirs.
    pub(super) fn follow_restored_weights(&mut self) -> Result<()> {
        self.cache.clear();
        match &self.adapter {
            Some(adapter) => adapter.unmerge(self.task.as_mut()),
            None => Ok(()),
        }
    }

    /// Returns the memory that training takes now.
    pub(super) fn memory(&self) -> StepMemory {
        StepMemory {
            memory_bytes: resident_memory(),
            training_bytes: self.optimizer.memory().total(),
            cache_bytes: self.cache.bytes().total(),
        }
    }

    /// Returns the saver of the adapter, or of the whole model where none trains.
    pub(super) fn saver<'a>(&'a self, run: &'a Path) -> Saver<'a> {
        Saver::new(self.task.as_ref(), self.adapter.as_ref(), run, self.model_bytes)
    }
}
