//! Reads the losses of a run off the device, stops the run when they stay NaN or infinite, and reports spikes.

use std::path::Path;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::config::GuardConfig;
use crate::records::StepRecord;
use crate::state::LossMonitorState;

/// The decay of the running mean that losses are compared with: about the last 50 steps.
const DECAY: f64 = 0.98;
/// The number of losses in the mean before spikes are reported.
const FIRST: u64 = 20;

/// Reads losses, counts bad steps, and detects spikes.
///
/// Reading a number from a GPU waits for all its pending work, so the losses of `lot` steps are read together.
#[derive(Debug)]
pub(super) struct LossMonitor {
    config: GuardConfig,
    state: LossMonitorState,
    lot: usize,
    /// The steps whose losses are still on the device.
    pending: Vec<(StepRecord, Tensor)>,
}

/// The steps whose losses were just read.
#[derive(Debug, Default)]
pub(super) struct ReadLosses {
    /// The records, with their losses.
    pub(crate) records: Vec<StepRecord>,
    /// The mean of the finite losses among them.
    pub(crate) mean: Option<f64>,
    /// A warning for each spike.
    pub(crate) warnings: Vec<String>,
}

impl LossMonitor {
    /// Makes the monitor of a run that starts or resumes with this state.
    pub(super) fn new(config: GuardConfig, mut state: LossMonitorState, device: Device) -> Self {
        // The user who resumes has fixed the cause.
        state.bad_in_a_row = 0;
        let lot = if device == Device::Cpu { 1 } else { 10 };
        Self { config, state, lot, pending: Vec::new() }
    }

    /// Returns its state.
    pub(super) fn state(&self) -> &LossMonitorState {
        &self.state
    }

    /// Adds a step, whose loss is a scalar on the device; reads the pending losses when there are enough.
    ///
    /// # Errors
    ///
    /// When libtorch refuses.
    pub(super) fn add(&mut self, record: StepRecord, loss: Tensor) -> Result<ReadLosses> {
        self.pending.push((record, loss));
        if self.pending.len() < self.lot { Ok(ReadLosses::default()) } else { self.read() }
    }

    /// Reads the pending losses.
    ///
    /// # Errors
    ///
    /// When libtorch refuses.
    pub(super) fn read(&mut self) -> Result<ReadLosses> {
        if self.pending.is_empty() {
            return Ok(ReadLosses::default());
        }
        let losses: Vec<&Tensor> = self.pending.iter().map(|(_, loss)| loss).collect();
        let losses = Tensor::f_stack(&losses, 0)?.f_to_kind(Kind::Double)?.f_to(Device::Cpu)?;
        let losses = Vec::<f64>::try_from(losses)?;
        let finite: Vec<f64> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
        let mean = (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64);
        let records: Vec<StepRecord> = std::mem::take(&mut self.pending)
            .into_iter()
            .zip(losses)
            .map(|((record, _), loss)| StepRecord { loss, ..record })
            .collect();
        let warnings = records
            .iter()
            .filter_map(|record| self.check(record.step, record.loss, record.skipped.is_some()))
            .collect();
        Ok(ReadLosses { records, mean, warnings })
    }

    /// Counts a step; returns a warning if its loss is a spike.
    fn check(&mut self, step: u64, loss: f64, skipped: bool) -> Option<String> {
        if skipped || !loss.is_finite() {
            self.state.bad_steps += 1;
            self.state.bad_in_a_row += 1;
            return None;
        }
        self.state.bad_in_a_row = 0;
        let mean = self.state.sum / self.state.weight;
        let highest = self.config.spike_factor * mean;
        let spike = self.config.spike_factor > 0.0 && self.state.seen >= FIRST && loss > highest;
        // A spike enters the mean at its limit, so that it does not hide the next one.
        let counted = if spike { highest } else { loss };
        self.state.sum = DECAY * self.state.sum + (1.0 - DECAY) * counted;
        self.state.weight = DECAY * self.state.weight + (1.0 - DECAY);
        self.state.seen += 1;
        if !spike {
            return None;
        }
        self.state.spikes += 1;
        Some(format!(
            "the loss of step {step} is {loss:.4}, {:.1} times its running mean of {mean:.4}",
            loss / mean
        ))
    }

    /// Returns whether too many steps in a row were bad.
    pub(super) fn gives_up(&self) -> bool {
        self.state.bad_in_a_row >= self.config.max_bad_steps
    }

    /// Makes the error of a run that stopped after this step; `last` is its newest complete checkpoint.
    pub(super) fn error(&self, step: u64, last: Option<&Path>) -> NonFiniteError {
        let checkpoint = match last {
            Some(last) => format!("The newest whole checkpoint is {}", last.display()),
            None => "There is no whole checkpoint".to_owned(),
        };
        NonFiniteError { count: self.state.bad_in_a_row, step, checkpoint }
    }

    /// Returns a warning for a run whose last steps were bad.
    pub(super) fn final_warning(&self) -> Option<String> {
        let count = self.state.bad_in_a_row;
        (count > 0).then(|| format!("the last {count} steps had a loss or gradients that are not finite"))
    }
}

/// The error of a run whose losses or gradients stayed NaN or infinite.
#[derive(Debug, thiserror::Error)]
#[error(
    "the last {count} steps, up to step {step}, had a loss or gradients that are not finite, and were skipped \
     (guard.max_bad_steps = {count}); try a lower optimizer.lr or training.clip_norm. {checkpoint}"
)]
pub struct NonFiniteError {
    /// The number of bad steps.
    count: u64,
    /// The last of them.
    step: u64,
    /// A sentence about the newest checkpoint.
    checkpoint: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{ComponentCounts, StepMemory, StepWork};

    fn monitor() -> LossMonitor {
        let config = GuardConfig { max_bad_steps: 2, spike_factor: 3.0, check_gradients: false };
        LossMonitor::new(config, LossMonitorState::default(), Device::Cpu)
    }

    #[test]
    fn bad_steps_are_counted_until_a_good_one() {
        let mut monitor = monitor();
        struct Case {
            loss: f64,
            skipped: bool,
            gives_up: bool,
        }
        for Case { loss, skipped, gives_up } in [
            Case { loss: 1.0, skipped: true, gives_up: false },
            Case { loss: f64::NAN, skipped: false, gives_up: true },
            Case { loss: 1.0, skipped: false, gives_up: false },
            Case { loss: f64::INFINITY, skipped: true, gives_up: false },
        ] {
            monitor.check(1, loss, skipped);
            assert_eq!(monitor.gives_up(), gives_up, "{loss}");
        }
        assert_eq!(monitor.state().bad_steps, 3);
        assert_eq!(
            LossMonitor::new(monitor.config, monitor.state().clone(), Device::Cpu).state().bad_in_a_row,
            0
        );
    }

    #[test]
    fn a_spike_is_reported_once_there_is_a_mean() {
        let mut monitor = monitor();
        assert!(
            (0..FIRST).all(|step| monitor.check(step, if step == 5 { 100.0 } else { 1.0 }, false).is_none())
        );
        let mut monitor = LossMonitor::new(monitor.config, LossMonitorState::default(), Device::Cpu);
        assert!((0..FIRST).all(|step| monitor.check(step, 1.0, false).is_none()));
        assert_eq!(monitor.check(20, 2.9, false), None);
        let line = monitor.check(21, 9.0, false).unwrap();
        assert!(
            line.contains("step 21 is 9.0000") && line.contains("8.1 times its running mean of 1.1"),
            "{line}"
        );
        assert_eq!(monitor.state().spikes, 1);
        monitor.config.spike_factor = 0.0;
        assert_eq!(monitor.check(22, 1e9, false), None);
    }

    #[test]
    fn losses_are_read_in_lots() {
        let mut monitor = LossMonitor { lot: 3, ..monitor() };
        let mut read = Vec::new();
        for step in 1..=7 {
            let loss = if step == 5 { f32::NAN } else { step as f32 };
            let losses = monitor.add(record(step), Tensor::from(loss)).unwrap();
            read.push((losses.records.len(), losses.mean));
        }
        assert_eq!(
            read,
            [(0, None), (0, None), (3, Some(2.0)), (0, None), (0, None), (3, Some(5.0)), (0, None)]
        );
        let last = monitor.read().unwrap();
        assert_eq!((last.records[0].step, last.records[0].loss, last.mean), (7, 7.0, Some(7.0)));
        assert!(monitor.read().unwrap().records.is_empty());
        assert_eq!((monitor.state().bad_steps, monitor.state().seen), (1, 6));
    }

    fn record(step: u64) -> StepRecord {
        StepRecord {
            step,
            epoch: 1,
            loss: f64::NAN,
            learning_rate: 0.1,
            grad_norm: None,
            work: StepWork { examples: 1, tokens: 1, flops: 1, cache_flops: 0, seconds: 1.0 },
            components: ComponentCounts::default(),
            memory: StepMemory::default(),
            skipped: None,
        }
    }
}
