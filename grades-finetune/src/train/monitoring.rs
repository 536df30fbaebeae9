//! What it costs to watch gradients: the same batches with and without, in turns.

use std::time::Instant;

use anyhow::{Result, bail};
use grades::FreezingOptimizer;

use super::classifier::Classifier;
use super::decoder::DecoderTask;
use super::fit::fit;
use super::interrupt::Interrupt;
use super::lora::LoraTraining;
use super::never::Never;
use super::optimizer::build_optimizer;
use super::task::{Micro, Optimizer, Task};
use crate::config::RunConfig;
use crate::records::Overhead;
use grades_models::Family;

/// Steps in a row with a policy, or without, before it is the other's turn.
const PIECE: usize = 10;
/// Steps of each before the clock counts.
const WARM_UP: usize = 3;

/// Measures by how much the policy of a configuration lengthens steps before it freezes anything.
///
/// Two optimizers share one model: one asks the policy, which has its grace until the end, the other asks none. They take
/// turns of ten steps on the same batches, the first one being another in each turn. The learning rate is so small that
/// nothing is learnt. `steps` is the number of steps of both together.
///
/// # Errors
///
/// As [`train`](super::train), and when the configuration freezes nothing or an end was asked for.
pub fn measure_monitoring(config: &RunConfig, steps: usize, interrupt: &Interrupt) -> Result<Overhead> {
    let Some(freezing) = config.freezing.clone() else {
        bail!("there is no [freezing] table, so nothing is watched (--set freezing.grace=0 adds one)")
    };
    tch::manual_seed(config.training.seed.cast_signed());
    let device = config.model.device.device()?;
    let family = Family::of(&config.model.path)?;
    let mut config = config.clone();
    let max_tokens = fit(&mut config, family)?;
    let mut task: Box<dyn Task> = match family {
        Family::Bert => Box::new(Classifier::load(&config, device, max_tokens)?),
        Family::Decoder(_) => Box::new(DecoderTask::load(&config, device, max_tokens)?),
    };
    if let Some(lora) = &config.lora {
        LoraTraining::begin(lora, task.as_mut(), "")?;
    }
    let build = |freezing: &grades::FreezingConfig| -> Result<Optimizer> {
        let inner = build_optimizer(&config.optimizer, task.store())?;
        // So many steps are planned that no deadline comes near.
        let mut optimizer = FreezingOptimizer::new(inner, task.store(), freezing, 1 << 40)?;
        optimizer.set_lr(config.optimizer.lr * 1e-9)?;
        Ok(optimizer)
    };
    let mut without = build(&grades::FreezingConfig::with_policy(Never))?;
    let mut with = build(&freezing.grace(1.0))?;

    let order = (0..).flat_map(|epoch| task.sampler().epoch_order(epoch));
    let mut lots =
        Lots { order, accumulate: config.training.accumulate, clip_norm: config.training.clip_norm };
    let warm_up = lots.take(WARM_UP);
    for optimizer in [&mut without, &mut with] {
        lots.time(task.as_ref(), optimizer, &warm_up)?;
    }
    let (mut ratios, mut plain) = (Vec::new(), Vec::new());
    let mut left = (steps / 2).max(1);
    let mut first = false;
    while left > 0 {
        if interrupt.is_asked() {
            bail!("interrupted");
        }
        let piece = lots.take(left.min(PIECE));
        let (bare, watched) = if first {
            let watched = lots.time(task.as_ref(), &mut with, &piece)?;
            (lots.time(task.as_ref(), &mut without, &piece)?, watched)
        } else {
            (lots.time(task.as_ref(), &mut without, &piece)?, lots.time(task.as_ref(), &mut with, &piece)?)
        };
        ratios.extend(watched.iter().zip(&bare).map(|(watched, bare)| 100.0 * (watched / bare - 1.0)));
        plain.extend(bare);
        left -= piece.len();
        first = !first;
    }
    Ok(Overhead {
        percent: quantile(&mut ratios, 0.5),
        quartiles: [quantile(&mut ratios, 0.25), quantile(&mut ratios, 0.75)],
        pairs: ratios.len(),
        seconds_per_step: quantile(&mut plain, 0.5),
    })
}

/// The batches of steps, in the order of training.
struct Lots<I> {
    order: I,
    accumulate: usize,
    clip_norm: f64,
}

impl<I: Iterator<Item = Vec<usize>>> Lots<I> {
    fn take(&mut self, steps: usize) -> Vec<Vec<Vec<usize>>> {
        (0..steps).map(|_| self.order.by_ref().take(self.accumulate).collect()).collect()
    }

    /// Takes steps, and returns the seconds of each.
    fn time(
        &self,
        task: &dyn Task,
        optimizer: &mut Optimizer,
        steps: &[Vec<Vec<usize>>],
    ) -> Result<Vec<f64>> {
        let mut seconds = Vec::with_capacity(steps.len());
        for batches in steps {
            let start = Instant::now();
            let step = optimizer.steps() + 1;
            optimizer.zero_grad()?;
            let step_weight = batches.iter().map(|batch| task.weight(batch)).sum();
            let mut losses = Vec::with_capacity(batches.len());
            for (place, batch) in batches.iter().enumerate() {
                losses.push(task.accumulate(batch, Micro { step_weight, step, place }, optimizer)?.0);
            }
            if self.clip_norm > 0.0 {
                optimizer.clip_grad_norm(self.clip_norm)?;
            }
            optimizer.step()?;
            // Waits for the device.
            for loss in losses {
                f64::try_from(loss)?;
            }
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }
}

/// The value below which this share of the values lies, by the nearest rank.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}
