//! `steps.jsonl`: one line per optimizer step, written without waiting for the device at each.

use std::io::Write;

use anyhow::Result;
use tch::Tensor;

use super::lines::LineFile;
use crate::records::{StepRecord, write_line};
use crate::tensorboard::TensorBoard;

/// Collects steps whose losses are still on the device, and writes them in lots.
///
/// Asking a GPU for a number waits for all that it has to do, so the losses of a lot are fetched together.
#[derive(Debug)]
pub(super) struct StepLog {
    writer: LineFile,
    waiting: Vec<StepRecord>,
    losses: Vec<Tensor>,
    lot: usize,
    /// The mean of the finite losses of the last lot that had any.
    last_loss: Option<f64>,
    /// The losses that were fetched since they were last asked for.
    fetched: Vec<Fetched>,
    tensorboard: Option<TensorBoard>,
}

/// A step whose loss is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetched {
    pub(super) step: u64,
    pub(super) loss: f64,
    pub(super) skipped: bool,
}

impl StepLog {
    /// A log that fetches the losses of `lot` steps together; `last_loss` is that of the run so far.
    pub(super) fn new(writer: LineFile, lot: usize, last_loss: Option<f64>) -> Self {
        let (waiting, losses, fetched) = (Vec::new(), Vec::new(), Vec::new());
        Self { writer, waiting, losses, lot, last_loss, fetched, tensorboard: None }
    }

    /// The same, which tells each step to TensorBoard too.
    pub(super) fn with_tensorboard(mut self, tensorboard: Option<TensorBoard>) -> Self {
        self.tensorboard = tensorboard;
        self
    }

    /// The losses that were fetched since the last call.
    pub(super) fn take_fetched(&mut self) -> Vec<Fetched> {
        std::mem::take(&mut self.fetched)
    }

    /// Adds a step; `loss` is a scalar on any device, and replaces the record's.
    ///
    /// # Errors
    ///
    /// When the losses cannot be fetched.
    pub(super) fn push(&mut self, record: StepRecord, loss: Tensor) -> Result<()> {
        self.waiting.push(record);
        self.losses.push(loss);
        if self.waiting.len() < self.lot { Ok(()) } else { self.fetch() }
    }

    /// The mean of the finite losses of the last lot that had any; `None` before the first.
    pub(super) fn last_loss(&self) -> Option<f64> {
        self.last_loss
    }

    /// Writes what is waiting.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub(super) fn fetch(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let losses =
            Tensor::f_stack(&self.losses, 0)?.f_to_kind(tch::Kind::Double)?.f_to(tch::Device::Cpu)?;
        let losses = Vec::<f64>::try_from(losses)?;
        self.losses.clear();
        let finite: Vec<f64> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
        if !finite.is_empty() {
            self.last_loss = Some(finite.iter().sum::<f64>() / finite.len() as f64);
        }
        for (mut record, loss) in self.waiting.drain(..).zip(losses) {
            record.loss = loss;
            if let Some(tensorboard) = &self.tensorboard {
                tensorboard.step(&record);
            }
            self.fetched.push(Fetched { step: record.step, loss, skipped: record.skipped.is_some() });
            write_line(&mut self.writer, &record)?;
        }
        // A run that is killed leaves whole lines.
        Ok(self.writer.flush()?)
    }
}
