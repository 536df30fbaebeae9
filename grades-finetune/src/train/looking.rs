//! What a run looks at before an update, and what follows from what it did.

use anyhow::Result;
use grades::tracker::StepReport;
use tch::{Device, Tensor};

use super::recipe::Run;
use crate::records::SkipReason;

impl Run<'_> {
    /// The norm of the gradients before they are clipped, where it is taken, and why the step is to be skipped if it
    /// is. Off the CPU the loss is asked for only where the norm was, for which the device was waited for.
    pub(super) fn look(&mut self, loss: &Tensor) -> Result<(Option<f64>, Option<SkipReason>)> {
        let on_host = loss.device() == Device::Cpu;
        if on_host && !f64::try_from(loss)?.is_finite() {
            return Ok((None, Some(SkipReason::Loss)));
        }
        let limit = match self.config.training.clip_norm {
            0.0 if self.guard.checks_gradients() => f64::INFINITY,
            0.0 => return Ok((None, None)),
            limit => limit,
        };
        let norm = self.optimizer.clip_grad_norm(limit)?;
        let skipped = match norm.is_finite() {
            false if !on_host && !f64::try_from(loss)?.is_finite() => Some(SkipReason::Loss),
            false => Some(SkipReason::Gradients),
            true => None,
        };
        Ok((Some(norm), skipped))
    }

    /// What follows from freezes, cool-downs and thaws.
    pub(super) fn take_events(&mut self, report: &StepReport) -> Result<()> {
        if let Some(lora) = &mut self.lora {
            self.progress.merged(report.step, &lora.after_step(self.task.as_mut(), report)?);
        }
        if !report.events.is_empty() {
            self.flops.change(self.task.products());
        }
        self.freezes.extend(report.events.iter().filter(|event| event.is_freeze()).cloned());
        self.progress.freezes(&report.events);
        Ok(())
    }
}
