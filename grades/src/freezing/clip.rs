//! Clipping, over active parameters only, after the statistics are taken.

use tch::Tensor;

use super::FreezingOptimizer;
use super::measure::Scale;
use super::reading::clip_factor;
use crate::error::{Error, Result};
use crate::optim::{InnerOptimizer, StepSums};
use crate::torch::gradients;

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Scales the gradients so that their common L2 norm is at most `max`, and returns the norm before.
    ///
    /// The factor is `max / (norm + 1e-6)` when that is below 1, as in `torch.nn.utils.clip_grad_norm_`. Gradients
    /// whose norm is not finite are left as they are. Without any gradient the norm is 0.
    ///
    /// The norm is read at once, so on CUDA the call waits for the device, and the gradients are scaled in a pass of
    /// their own; [`backward_step_clip_norm`](Self::backward_step_clip_norm) does neither.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when `max` is not above 0, [`Error::Torch`] when
    /// libtorch refuses.
    pub fn clip_grad_norm(&mut self, max: f64) -> Result<f64> {
        check_limit(max)?;
        self.catch_up()?;
        self.hold_frozen()?;
        let norm = match &self.clipped {
            None => {
                let clipped = self.before_clip(true)?;
                clipped.sums.read()?;
                clipped.sums.norm()
            }
            // The gradients are not what they were when those sums were taken.
            Some(_) => {
                let mut now = StepSums::new(self.parameters.len());
                now.add_gradients(&self.parameters, &self.active, true)?;
                now.read()?;
                now.norm()
            }
        };
        let factor = clip_factor(norm, max);
        if factor < 1.0 {
            gradients::scale(&self.tensors(&self.active).collect::<Vec<&Tensor>>(), factor)?;
            self.before_clip(true)?.factor *= factor;
        }
        Ok(norm)
    }

    /// Clamps every gradient value to `-max ..= max`.
    ///
    /// # Errors
    ///
    /// As [`clip_grad_norm`](Self::clip_grad_norm).
    pub fn clip_grad_value(&mut self, max: f64) -> Result<()> {
        check_limit(max)?;
        self.catch_up()?;
        self.hold_frozen()?;
        self.before_clip(false)?.changed = true;
        gradients::clamp(&self.tensors(&self.active).collect::<Vec<&Tensor>>(), max)
    }

    /// What the next update multiplies the gradients by so that their common L2 norm is at most `max`.
    ///
    /// One pass over the gradients gives the norm and what the statistics need; the factor goes into the update. On
    /// a single CUDA device it is computed there, and nothing waits for it.
    pub(super) fn scale_to_norm(&mut self, max: f64) -> Result<Scale> {
        check_limit(max)?;
        self.catch_up()?;
        if self.tracker.all_frozen() {
            return Ok(Scale::One);
        }
        self.hold_frozen()?;
        let late = self.reads_late;
        let clipped = self.before_clip(true)?;
        if late && let Some(divisor) = clipped.sums.clip_on_device(max)? {
            return Ok(Scale::ToNorm(max, divisor));
        }
        clipped.sums.read()?;
        Ok(match clip_factor(clipped.sums.norm(), max) {
            1.0 => Scale::One,
            factor => Scale::Factor(factor),
        })
    }
}

pub(super) fn check_limit(max: f64) -> Result<()> {
    if max > 0.0 {
        return Ok(());
    }
    Err(Error::invalid_argument("max", "a number above 0", max))
}
