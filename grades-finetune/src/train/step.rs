//! One optimizer step, shared by the trainer and the benchmark of the overhead.

use std::time::Duration;

use anyhow::Result;
use grades::torch::{generator_state, set_generator_state};
use grades::tracker::StepReport;
use tch::{Device, Kind, Tensor};

use super::ranks::RunRanks;
use crate::checkpoint::generators;
use crate::config::RunConfig;
use crate::records::{ComponentCounts, SkipReason, StepMemory, StepRecord, StepWork};
use crate::state::{Counters, FlopMeter};
use crate::tasks::{Batch, MicroBatch, Optimizer, Ranks, Task};

/// Clipping and checks of the gradients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepOptions {
    /// The largest L2 norm of the gradients; 0 does not clip.
    clip_norm: f64,
    /// Whether the norm is computed even without clipping.
    check_gradients: bool,
}

impl StepOptions {
    /// Reads the options of a run.
    pub(crate) fn new(config: &RunConfig) -> Self {
        Self { clip_norm: config.training.clip_norm, check_gradients: config.guard.check_gradients }
    }
}

/// The outcome of a step.
pub(crate) struct StepOutcome {
    /// The optimizer's report.
    pub(crate) report: StepReport,
    /// The mean loss before the update, a scalar on the device.
    pub(crate) loss: Tensor,
    /// The L2 norm of the gradients before clipping, where it was computed.
    pub(crate) grad_norm: Option<f64>,
    /// Why no update was applied; `None` where one was.
    pub(crate) skipped: Option<SkipReason>,
}

impl StepOutcome {
    /// Makes the record of the step; its loss is read later.
    pub(super) fn record(
        &self,
        epoch: u64,
        learning_rate: f64,
        work: StepWork,
        memory: StepMemory,
    ) -> StepRecord {
        let StepReport { step, cooling, frozen, .. } = self.report;
        StepRecord {
            step,
            epoch,
            loss: f64::NAN,
            learning_rate,
            grad_norm: self.grad_norm,
            work,
            components: ComponentCounts { cooling, frozen },
            memory,
            skipped: self.skipped,
        }
    }
}

/// Accumulates the gradients of the batches and updates the parameters.
///
/// `stop` is asked before each batch; where it says so, the result is `None`, and all is as before the step. With `ranks` this
/// process computes its own batches, and all ranks have the gradients and the loss of all.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub(crate) fn train_step(
    task: &dyn Task,
    optimizer: &mut Optimizer,
    batches: &[Batch],
    learning_rate: f64,
    options: StepOptions,
    stop: &dyn Fn() -> bool,
    ranks: Option<&RunRanks>,
) -> Result<Option<StepOutcome>> {
    optimizer.set_lr(learning_rate)?;
    optimizer.zero_grad()?;
    // A step of several batches may end between two of them, after random numbers were drawn.
    let random = if batches.len() > 1 { generator_states(task)? } else { Vec::new() };
    let Some(loss) = forward_backward(task, optimizer, batches, stop, ranks)? else {
        optimizer.zero_grad()?;
        for (device, state) in random {
            set_generator_state(device, &state)?;
        }
        return Ok(None);
    };
    let (grad_norm, skipped) = clip_and_check(optimizer, &loss, options)?;
    let report = if skipped.is_none() { optimizer.step()? } else { optimizer.skip_step()? };
    Ok(Some(StepOutcome { report, loss, grad_norm, skipped }))
}

/// Returns the states of the random number generators that a task draws from.
fn generator_states(task: &dyn Task) -> Result<Vec<(Device, Vec<u8>)>> {
    let generators = generators(task.store().device());
    generators.map(|(_, device)| Ok((device, generator_state(device)?))).collect()
}

/// Adds the work and the time of a step to the counters, wall and processor seconds; returns its work.
pub(super) fn count_work(
    batches: &[Batch],
    meter: &FlopMeter,
    counters: &mut Counters,
    (time, cpu_seconds): (Duration, f64),
) -> StepWork {
    let Counters { totals, clock, .. } = counters;
    let flops = batches.iter().map(|batch| meter.add(batch.size.shape, batch.cache_flops, totals)).sum();
    let cache_flops = batches.iter().map(|batch| batch.cache_flops).sum();
    let examples = batches.iter().map(|batch| batch.size.examples).sum();
    let tokens = batches.iter().map(|batch| batch.size.tokens).sum();
    totals.examples += examples as u64;
    totals.tokens += tokens as u64;
    clock.add_step(time, cpu_seconds);
    StepWork { examples, tokens, flops, cache_flops, seconds: clock.train_seconds() }
}

/// Adds the gradients of all batches; returns the mean loss of the step, or `None` when `stop` says so before a batch.
fn forward_backward(
    task: &dyn Task,
    optimizer: &mut Optimizer,
    batches: &[Batch],
    stop: &dyn Fn() -> bool,
    ranks: Option<&RunRanks>,
) -> Result<Option<Tensor>> {
    let step = optimizer.steps() + 1;
    let step_targets = batches.iter().map(|batch| batch.size.targets).sum();
    let mut losses = Vec::with_capacity(batches.len());
    let owns = |index: usize| ranks.is_none_or(|ranks| ranks.owns(index));
    let last = (0..batches.len()).rev().find(|index| owns(*index));
    for (index, batch) in batches.iter().enumerate().filter(|(index, _)| owns(*index)) {
        if stop() {
            return Ok(None);
        }
        let micro = MicroBatch { step, index, step_targets, is_last: last == Some(index) };
        losses.push(task.backward(batch, micro, optimizer)?);
    }
    if ranks.is_none() {
        return Ok(Some(Tensor::f_stack(&losses, 0)?.f_sum(Kind::Float)?));
    }
    // The loss goes along with the gradients: all ranks decide by it whether the step is skipped.
    let losses = losses.iter().map(f64::try_from).collect::<Result<Vec<f64>, _>>()?;
    let mut sum = [losses.iter().sum()];
    optimizer.sum_gradients(&mut sum)?;
    Ok(Some(Tensor::from(sum[0] as f32)))
}

/// Clips the gradients; returns their norm, where it was computed, and why the step must be skipped.
///
/// On a GPU the loss is read only after a norm, which had to wait for the device anyway.
fn clip_and_check(
    optimizer: &mut Optimizer,
    loss: &Tensor,
    options: StepOptions,
) -> Result<(Option<f64>, Option<SkipReason>)> {
    let on_host = loss.device() == Device::Cpu;
    if on_host && !f64::try_from(loss)?.is_finite() {
        return Ok((None, Some(SkipReason::Loss)));
    }
    let limit = match options.clip_norm {
        0.0 if options.check_gradients => f64::INFINITY,
        0.0 => return Ok((None, None)),
        limit => limit,
    };
    let norm = optimizer.clip_grad_norm(limit)?;
    let skipped = match norm.is_finite() {
        false if !on_host && !f64::try_from(loss)?.is_finite() => Some(SkipReason::Loss),
        false => Some(SkipReason::Gradients),
        true => None,
    };
    Ok((Some(norm), skipped))
}
