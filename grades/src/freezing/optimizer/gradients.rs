//! Gradients between two updates: backward passes, accumulation and clipping.

use tch::Tensor;

use super::FreezingOptimizer;
use crate::error::{Error, Result};
use crate::freezing::monitor::{CurrentStep, Scale};
use crate::optim::InnerOptimizer;
use crate::tracker::StepReport;

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Clears the gradients, computes those of `loss` and applies a step.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step), and [`Error::Torch`] for a loss that is not a scalar.
    pub fn backward_step(&mut self, loss: &Tensor) -> Result<StepReport> {
        self.backward(loss)?;
        self.step()
    }

    /// Steps as [`backward_step`](Self::backward_step) does, with each gradient value clamped to `-max ..= max`.
    ///
    /// # Errors
    ///
    /// As [`backward_step`](Self::backward_step), and [`Error::InvalidArgument`] when `max` is not above 0.
    pub fn backward_step_clip(&mut self, loss: &Tensor, max: f64) -> Result<StepReport> {
        self.backward(loss)?;
        self.clip_grad_value(max)?;
        self.step()
    }

    /// Steps as [`backward_step`](Self::backward_step) does, with the gradients scaled so that their common L2 norm is
    /// at most `max`.
    ///
    /// The factor is that of [`clip_grad_norm`](Self::clip_grad_norm). One pass over the gradients gives the norm and the
    /// statistics, and the factor goes into the update, so the gradients may be unscaled afterwards. In half precision
    /// the scaled gradient is not rounded to the parameter's dtype.
    ///
    /// # Errors
    ///
    /// As [`backward_step_clip`](Self::backward_step_clip).
    pub fn backward_step_clip_norm(&mut self, loss: &Tensor, max: f64) -> Result<StepReport> {
        check_limit(max)?;
        self.backward(loss)?;
        let scale = self.scale_to_norm(max)?;
        self.step_scaled(&scale)
    }

    /// Makes all gradients undefined.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn zero_grad(&mut self) -> Result<()> {
        self.monitor.discard();
        if let Some(ranks) = &mut self.ranks {
            ranks.clear()?;
        }
        self.inner.zero_grad()
    }

    /// Adds the gradients of one micro-batch to those of the step under way.
    ///
    /// `loss` is the mean loss over the micro-batch, and `share` the micro-batch's share of the step's examples; the
    /// shares of a step add up to 1. Policies that compare a small with a large batch (`two-batch`) measure the first
    /// micro-batch here; for all others this is the same as calling `backward` on `loss * share`.
    ///
    /// ```
    /// use grades::policy::Never;
    /// use grades::{FreezingConfig, FreezingOptimizer};
    /// use tch::nn::{self, Module, OptimizerConfig};
    /// use tch::{Device, Kind, Reduction, Tensor};
    ///
    /// let vs = nn::VarStore::new(Device::Cpu);
    /// let net = nn::linear(vs.root() / "layer" / 0, 4, 1, Default::default());
    /// let inner = nn::Sgd::default().build(&vs, 0.1)?;
    /// let mut opt = FreezingOptimizer::new(inner, &vs, &FreezingConfig::new(Never), 10)?;
    ///
    /// let batches = [16, 8].map(|n| Tensor::randn([n, 4], (Kind::Float, Device::Cpu)));
    /// opt.zero_grad()?;
    /// for x in &batches {
    ///     let y = x.sum_dim_intlist(1, true, Kind::Float);
    ///     let loss = net.forward(x).mse_loss(&y, Reduction::Mean);
    ///     opt.backward_accumulate(&loss, x.size()[0] as f64 / 24.0)?;
    /// }
    /// assert!(opt.step()?.applied);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a share that is not above 0 and up to 1, [`Error::Torch`] when libtorch refuses.
    pub fn backward_accumulate(&mut self, loss: &Tensor, share: f64) -> Result<()> {
        if !(share > 0.0 && share <= 1.0) {
            let expected = "a share of the step's examples above 0, up to 1";
            return Err(Error::invalid_argument("share", expected, share));
        }
        if self.is_past_training(loss) {
            return Ok(());
        }
        let scaled = loss.f_mul_scalar(share).and_then(|loss| loss.f_backward());
        scaled.map_err(|error| Error::torch("computing the gradients of the loss", &error))?;
        self.monitor.add_micro_batch(share, &self.tracker, &self.params)
    }

    /// Scales the gradients so that their common L2 norm is at most `max`, and returns the norm before.
    ///
    /// The factor is `max / (norm + 1e-6)` when that is below 1, as in `torch.nn.utils.clip_grad_norm_`. Gradients
    /// whose norm is not finite are left unchanged. Without any gradient the norm is 0. Frozen parameters do not count.
    ///
    /// The norm is read at once, so on CUDA the call waits for the device, and the gradients are scaled in a pass of
    /// their own; [`backward_step_clip_norm`](Self::backward_step_clip_norm) avoids both.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] when `max` is not above 0, [`Error::Torch`] when libtorch refuses.
    pub fn clip_grad_norm(&mut self, max: f64) -> Result<f64> {
        self.prepare_clip(max)?;
        let now = CurrentStep { step: self.steps + 1, tracker: &self.tracker, params: &self.params };
        self.monitor.clip_norm(max, now)
    }

    /// Clamps every gradient value to `-max ..= max`.
    ///
    /// # Errors
    ///
    /// As [`clip_grad_norm`](Self::clip_grad_norm).
    pub fn clip_grad_value(&mut self, max: f64) -> Result<()> {
        self.prepare_clip(max)?;
        let now = CurrentStep { step: self.steps + 1, tracker: &self.tracker, params: &self.params };
        self.monitor.clip_value(max, now, &mut self.inner)
    }

    /// Returns the factor by which the next update brings the gradients' common L2 norm down to `max`.
    fn scale_to_norm(&mut self, max: f64) -> Result<Scale> {
        self.prepare_clip(max)?;
        if self.tracker.all_frozen() {
            return Ok(Scale::One);
        }
        let now = CurrentStep { step: self.steps + 1, tracker: &self.tracker, params: &self.params };
        self.monitor.scale_to_norm(max, now)
    }

    /// Freezes what the last step decided, so that only active parameters are clipped.
    fn prepare_clip(&mut self, max: f64) -> Result<()> {
        check_limit(max)?;
        self.sum_over_ranks()?;
        self.check_deferred()?;
        self.params.enforce_frozen()
    }

    fn backward(&mut self, loss: &Tensor) -> Result<()> {
        self.zero_grad()?;
        if self.is_past_training(loss) {
            return Ok(());
        }
        self.begin_last_backward()?;
        loss.f_backward().map_err(|error| Error::torch("computing the gradients of the loss", &error))
    }

    /// Returns whether a loss depends on nothing that trains, once components are frozen: an end, not an error.
    fn is_past_training(&self, loss: &Tensor) -> bool {
        self.tracker.all_frozen() || self.tracker.frozen() > 0 && !loss.requires_grad()
    }
}

fn check_limit(max: f64) -> Result<()> {
    if max > 0.0 { Ok(()) } else { Err(Error::invalid_argument("max", "a number above 0", max)) }
}
