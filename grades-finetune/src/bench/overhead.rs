//! Measures the overhead of watching gradients: the same steps with and without a policy, in turns.

use std::time::Instant;

use anyhow::{Result, bail};
use grades::policy::Never;
use grades::{FreezingConfig, FreezingOptimizer};

use crate::cache::ActivationCache;
use crate::config::RunConfig;
use crate::records::Overhead;
use crate::run::Interrupt;
use crate::tasks::{self, Loaded, Optimizer, Task, build_optimizer};
use crate::train::step::{StepOptions, train_step};

/// Consecutive steps with a policy, or without, before the other's turn.
const TURN: usize = 10;
/// Steps of each that are not measured.
const WARM_UP: usize = 3;

/// Measures by how much the policy of a configuration lengthens steps before it freezes anything.
///
/// Two optimizers share one model: one asks the policy, whose grace lasts until the end, the other asks none. They take
/// turns of ten steps on the same batches, in alternating order. The learning rate is so small that nothing is learnt.
/// `steps` is the number of steps of both together.
///
/// # Errors
///
/// As [`train`](crate::train::train), and when the configuration freezes nothing or an end was requested.
pub fn measure_overhead(config: &RunConfig, steps: usize, interrupt: &Interrupt) -> Result<Overhead> {
    let Some(freezing) = config.freezing.clone() else {
        bail!("there is no [freezing] table, so nothing is watched (--set freezing.grace=0 adds one)")
    };
    let Loaded { config, task, .. } = tasks::load(config)?;
    let build = |freezing: &FreezingConfig| -> Result<Optimizer> {
        let inner = build_optimizer(&config.optimizer, task.store())?;
        // With this many planned steps no deadline comes near.
        Ok(FreezingOptimizer::new(inner, task.store(), freezing, 1 << 40)?)
    };
    let mut without = build(&FreezingConfig::new(Never))?;
    let mut with = build(&freezing.with_grace(1.0))?;

    let mut steps_ahead = Steps::new(&config, task.as_ref());
    let warm_up = steps_ahead.take(WARM_UP);
    for optimizer in [&mut without, &mut with] {
        steps_ahead.time(optimizer, &warm_up)?;
    }
    let (mut ratios, mut plain) = (Vec::new(), Vec::new());
    let mut left = (steps / 2).max(1);
    let mut policy_first = false;
    while left > 0 {
        if interrupt.is_requested() {
            bail!("interrupted");
        }
        let turn = steps_ahead.take(left.min(TURN));
        let (bare, watched) = if policy_first {
            let watched = steps_ahead.time(&mut with, &turn)?;
            (steps_ahead.time(&mut without, &turn)?, watched)
        } else {
            (steps_ahead.time(&mut without, &turn)?, steps_ahead.time(&mut with, &turn)?)
        };
        ratios.extend(watched.iter().zip(&bare).map(|(watched, bare)| 100.0 * (watched / bare - 1.0)));
        plain.extend(bare);
        left -= turn.len();
        policy_first = !policy_first;
    }
    Ok(Overhead {
        percent: quantile(&mut ratios, 0.5),
        quartiles: [quantile(&mut ratios, 0.25), quantile(&mut ratios, 0.75)],
        pairs: ratios.len(),
        seconds_per_step: quantile(&mut plain, 0.5),
    })
}

/// The indices of the examples of each batch of a step.
type StepIndices = Vec<Vec<usize>>;

/// The steps of a run, in the order of training.
struct Steps<'a> {
    task: &'a dyn Task,
    batches: Box<dyn Iterator<Item = Vec<usize>> + 'a>,
    accumulation: usize,
    learning_rate: f64,
    options: StepOptions,
}

impl<'a> Steps<'a> {
    fn new(config: &RunConfig, task: &'a dyn Task) -> Self {
        Self {
            task,
            batches: Box::new((0..).flat_map(|epoch| task.sampler().epoch_order(epoch))),
            accumulation: config.training.gradient_accumulation_steps,
            learning_rate: config.optimizer.lr * 1e-9,
            options: StepOptions::new(config),
        }
    }

    /// Returns the next steps.
    fn take(&mut self, steps: usize) -> Vec<StepIndices> {
        (0..steps).map(|_| self.batches.by_ref().take(self.accumulation).collect()).collect()
    }

    /// Runs steps; returns the seconds of each.
    fn time(&self, optimizer: &mut Optimizer, steps: &[StepIndices]) -> Result<Vec<f64>> {
        let mut seconds = Vec::with_capacity(steps.len());
        for step in steps {
            let start = Instant::now();
            let mut off = ActivationCache::off();
            let batches = step.iter().map(|indices| self.task.batch(indices, &mut off));
            let batches = batches.collect::<Result<Vec<_>>>()?;
            let (rate, options) = (self.learning_rate, self.options);
            if let Some(outcome) = train_step(self.task, optimizer, &batches, rate, options, &|| false, None)?
            {
                // Waits for the device.
                f64::try_from(outcome.loss)?;
            }
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }
}

/// Returns the value below which this share of the values lies, by the nearest rank.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}
