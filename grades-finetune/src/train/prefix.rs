//! Follows the freezes with the activation cache, and fills that of a resumed run.

use std::path::Path;

use anyhow::Result;

use super::evaluator::Evaluator;
use super::setup::Setup;
use super::step_loader::StepLoader;
use crate::cache::ActivationCache;
use crate::config::CacheConfig;
use crate::state::TrainState;
use crate::tasks::{Optimizer, Task};

/// Makes the cache of a run that starts or resumes with this state. It has what it had when the checkpoint was written: the
/// same rows are computed in the same batches, so that the run goes on with the same bits.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub(super) fn restored_cache(
    config: CacheConfig,
    setup: &Setup,
    state: &TrainState,
    folder: &Path,
) -> Result<ActivationCache> {
    let Setup { task, loader, evaluator, .. } = setup;
    let mut cache = ActivationCache::new(config, task.cache_layout(evaluator.repeats()), folder);
    refill(&mut cache, task.as_ref(), loader.clone(), evaluator, state)?;
    Ok(cache)
}

/// Has the model and the cache follow the freezes and thaws so far; returns a fact for the user, if there is one.
pub(super) fn follow(
    cache: &mut ActivationCache,
    task: &mut dyn Task,
    optimizer: &Optimizer,
    loader: &StepLoader,
) -> Option<String> {
    task.set_input_detached(optimizer.input_is_frozen());
    cache.update(task.model(), optimizer.steps(), loader.begins_another_epoch())
}

/// Computes what a cache had after the steps of this state.
fn refill(
    cache: &mut ActivationCache,
    task: &dyn Task,
    mut loader: StepLoader,
    evaluator: &Evaluator,
    state: &TrainState,
) -> Result<()> {
    let eras = &state.cache;
    for (index, era) in eras.iter().enumerate() {
        let later = eras.get(index + 1..).unwrap_or_default();
        let end = later.first().map_or(state.step, |next| next.step);
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
        let last = later.is_empty() && !state.counters.evaluation_due;
        let after_last = last && (evaluator.was_due(end..end + 1) || evaluator.has_seen(end));
        match evaluator.was_due(era.step..end) || after_last {
            true if lasts => evaluator.fill_cache(task, cache)?,
            true => cache.mark_evaluation(),
            false => {}
        }
    }
    Ok(())
}
