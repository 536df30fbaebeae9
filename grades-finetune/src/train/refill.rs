//! Fills the activation cache of a resumed run.

use anyhow::Result;

use super::evaluator::Evaluator;
use super::step_loader::StepLoader;
use crate::cache::ActivationCache;
use crate::state::CacheEra;
use crate::tasks::Task;

/// The steps of a run before it was resumed.
#[derive(Debug)]
pub(super) struct Past<'a> {
    /// The stretches of steps in which the cache stored outputs.
    pub(super) eras: &'a [CacheEra],
    pub(super) steps: u64,
    /// Whether the evaluation that was due after the last of them is still to come.
    pub(super) evaluation_due: bool,
}

/// Computes what the cache had when the checkpoint was written: the same rows in the same batches, so that the run goes on
/// with the same bits.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub(super) fn refill(
    cache: &mut ActivationCache,
    task: &dyn Task,
    mut loader: StepLoader,
    evaluator: &Evaluator,
    past: &Past<'_>,
) -> Result<()> {
    for (index, era) in past.eras.iter().enumerate() {
        let later = past.eras.get(index + 1..).unwrap_or_default();
        let end = later.first().map_or(past.steps, |next| next.step);
        // A block that was thawed later has other weights now; its outputs were dropped then.
        let lasts = later.iter().all(|later| later.blocks >= era.blocks);
        cache.enter(*era, task.model());
        loader.seek(era.step);
        for _ in era.step..end {
            let Some(step) = loader.next() else { break };
            for rows in &step.batches {
                if !lasts {
                    cache.mark(rows);
                } else if cache.lacks(rows) {
                    task.batch(rows, cache)?;
                }
            }
        }
        // The evaluation after the step in which the next era began belongs to that.
        let last_counts = later.is_empty() && !past.evaluation_due;
        if evaluator.was_due(era.step, end + u64::from(last_counts)) {
            if lasts {
                evaluator.fill_cache(task, cache)?;
            } else {
                cache.mark_evaluation();
            }
        }
    }
    Ok(())
}
