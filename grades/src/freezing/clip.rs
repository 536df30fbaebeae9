//! Clipping, over active parameters only, after the statistics are taken.

use tch::Tensor;

use super::FreezingOptimizer;
use crate::optim::InnerOptimizer;
use crate::torch::gradients;
use crate::{Problems, Result};

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Scales the gradients so that their common L2 norm is at most `max`, and returns the norm before.
    ///
    /// The factor is `max / (norm + 1e-6)` when that is below 1, as in `torch.nn.utils.clip_grad_norm_`. Gradients
    /// whose norm is not finite are left as they are. Without any gradient the norm is 0.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) when `max` is not above 0, [`Error::Torch`](crate::Error::Torch) when
    /// libtorch refuses.
    pub fn clip_grad_norm(&mut self, max: f64) -> Result<f64> {
        check_limit(max)?;
        self.hold_frozen()?;
        let norm = self.measure_norm()?;
        let factor = max / (norm + 1e-6);
        if norm.is_finite() && factor < 1.0 {
            gradients::scale(&self.tensors(&self.active).collect::<Vec<&Tensor>>(), factor)?;
            self.note_scaled(factor);
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
        self.hold_frozen()?;
        if self.measured.is_none() {
            self.measured = self.measure_anew(self.steps + 1)?;
        }
        gradients::clamp(&self.tensors(&self.active).collect::<Vec<&Tensor>>(), max)?;
        self.note_changed()
    }
}

fn check_limit(max: f64) -> Result<()> {
    if max > 0.0 {
        return Ok(());
    }
    Err(Problems::of("max", format!("expected a number above 0, found {max}")).into())
}
