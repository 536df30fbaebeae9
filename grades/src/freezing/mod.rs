//! The wrapper: an optimizer whose components stop one by one.

mod accessors;
mod average;
mod build;
mod clip;
mod cool;
mod digest;
mod followers;
mod hold;
mod instruments;
mod measure;
mod memory;
mod micro;
mod reading;
mod save;
mod settings;
mod skip;

pub use memory::Memory;
pub use save::SavedState;
pub use skip::Finished;

use std::fmt;

use tch::Tensor;

use crate::error::{Error, Result};
use crate::observe::StepObserver;
use crate::optim::InnerOptimizer;
use crate::parameters::{ParamId, Parameters};
use crate::tracker::{FreezeTracker, StepReport};
use average::Averages;
use cool::Factors;
use digest::Outcome;
use followers::Followers;
use instruments::Instruments;
use measure::Scale;
use reading::{Clipped, Reading};

/// Wraps an optimizer and freezes each component of the model once its policy says that it has converged.
///
/// It has the methods of [`tch::nn::Optimizer`], which return a `Result`; the steps return a [`StepReport`].
/// In a training loop two lines change, the one that builds the optimizer and the one that steps:
///
/// ```
/// # use grades::policy::{Decision, FreezePolicy, Observation};
/// # use grades::statistic::{Statistic, StatisticSet};
/// # #[derive(Debug, Clone)]
/// # struct Below(f64);
/// # impl FreezePolicy for Below {
/// #     fn name(&self) -> &'static str { "below" }
/// #     fn statistics(&self) -> StatisticSet { StatisticSet::of([Statistic::GradL1]) }
/// #     fn decide(&mut self, observation: &Observation<'_>) -> Decision {
/// #         let value = observation.value(Statistic::GradL1).unwrap_or(f64::NAN);
/// #         Decision::freeze_below(self.name(), Statistic::GradL1, value, self.0)
/// #     }
/// # }
/// use grades::{FreezingConfig, FreezingOptimizer};
/// use grades::component::{ComponentConfig, ComponentKind};
/// use tch::nn::{self, Module, OptimizerConfig};
/// use tch::{Device, Kind, Tensor};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let layer = nn::linear(vs.root() / "layer", 4, 1, Default::default());
/// let x = Tensor::randn([32, 4], (Kind::Float, Device::Cpu));
/// let y = x.sum_dim_intlist(1, true, Kind::Float);
///
/// let components = ComponentConfig::default().with_pattern(r"layer\.weight", ComponentKind::Up)?;
/// let config = FreezingConfig::with_policy(Below(0.05)).components(components);
/// let mut opt = FreezingOptimizer::new(nn::Sgd::default().build(&vs, 0.1)?, &vs, &config, 500)?;
/// for _ in 0..500 {
///     let loss = layer.forward(&x).mse_loss(&y, tch::Reduction::Mean);
///     if opt.backward_step(&loss)?.should_stop {
///         break;
///     }
/// }
/// assert!(opt.should_stop());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What freezing does
///
/// A decision taken from the gradients of step t holds from step t + 1 on. A frozen parameter has `requires_grad`
/// off, no gradient, and no state in the inner optimizer; its bytes do not move again, whatever the weight decay
/// and the momentum. Gradients of all other parameters are what they would have been. Once all components are
/// frozen, a further step does nothing, to the parameters outside of components neither.
///
/// # Inner optimizers
///
/// `O` is any [`InnerOptimizer`]: [`tch::nn::Optimizer`] (whose moments of frozen parameters stay allocated,
/// because tch keeps them out of reach), the optimizers in [`optim`](crate::optim) (which free them), or
/// `Box<dyn InnerOptimizer>` for a choice at run time.
pub struct FreezingOptimizer<O> {
    inner: O,
    parameters: Parameters,
    tracker: FreezeTracker,
    /// The parameters that still train, in order; rebuilt once per freeze.
    active: Vec<ParamId>,
    /// Those that were frozen.
    held: Vec<ParamId>,
    /// Sums taken of the present gradients before a clip changed them.
    clipped: Option<Clipped>,
    /// Whether what a step measures is read at the next one.
    reads_late: bool,
    /// What the last step measured, where it is read late.
    pending: Option<Reading>,
    /// What became of it, until a report tells of it.
    caught_up: Option<Outcome>,
    /// What is kept for statistics that need more than the present gradients.
    instruments: Instruments,
    /// The factors on learning rates that the inner optimizer was last told.
    factors: Factors,
    /// The means of what cools by averaging.
    averages: Averages,
    /// What belongs to no component and follows those of its block.
    followers: Followers,
    /// Bytes that freezes gave back since the device was last handed its reserve.
    released: u64,
    /// The share of the memory that must have been given back before that is done.
    empty_cache: f64,
    steps: u64,
    observers: Vec<Box<dyn StepObserver>>,
    observer_errors: Vec<Error>,
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Applies an update to all that is active, then freezes what has converged.
    ///
    /// # When the device is not the CPU
    ///
    /// Statistics are summed on the device and sent to the host while it works on; they are read at the next step,
    /// before its update. So a freeze decided from step t holds from step t + 1 on as on the CPU, but its events, its
    /// statistics and the norm of its gradients are in the report of step t + 1. A thaw, which needs a backward pass of
    /// its own, acts one step later than on the CPU, and with `stop_at` below 1 one more update goes to what still trains.
    /// What the last step of a run measured is told by no report.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when a policy compares two batches and no step so far had two micro-batches, and
    /// [`Error::Torch`] when libtorch refuses. [`steps`](Self::steps) tells whether the update was applied: not when
    /// it was refused itself, or what goes before it.
    pub fn step(&mut self) -> Result<StepReport> {
        self.step_scaled(&Scale::One)
    }

    fn step_scaled(&mut self, scale: &Scale) -> Result<StepReport> {
        self.catch_up()?;
        if self.tracker.all_frozen() {
            let mut report = self.report(self.steps);
            if self.caught_up.is_some() {
                self.tell_caught_up(&mut report);
                self.observe(&report);
            }
            return Ok(report);
        }
        let step = self.steps + 1;
        self.check_micro_batches(step)?;
        self.hold_frozen()?;
        self.cool(step)?;
        let reading = self.update(step, scale)?;

        let mut report = self.report(step);
        self.average()?;
        report.applied = true;
        self.tell_caught_up(&mut report);
        let cooled = self.tracker.finish_cooling(step);
        self.act_on(&cooled)?;
        report.events.extend(cooled);
        match reading {
            Some(reading) if self.reads_late => self.pending = Some(reading),
            Some(reading) => {
                let digested = self.digest(reading, false)?;
                self.tell(digested, &mut report);
            }
            None => {}
        }
        if self.tracker.should_stop() {
            self.apply_averages()?;
        }
        report.count(&self.tracker);
        self.instruments.micro.reset();
        self.observe(&report);
        Ok(report)
    }

    /// Clears the gradients, computes those of `loss` and applies a step.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses, such as for a loss that is no scalar.
    pub fn backward_step(&mut self, loss: &Tensor) -> Result<StepReport> {
        self.backward(loss)?;
        self.step()
    }

    /// As [`backward_step`](Self::backward_step), with each gradient value clamped to `-max ..= max`.
    ///
    /// # Errors
    ///
    /// As [`backward_step`](Self::backward_step).
    pub fn backward_step_clip(&mut self, loss: &Tensor, max: f64) -> Result<StepReport> {
        self.backward(loss)?;
        self.clip_grad_value(max)?;
        self.step()
    }

    /// As [`backward_step`](Self::backward_step), with the gradients scaled so that their common L2 norm is at most
    /// `max`.
    ///
    /// The factor is that of [`clip_grad_norm`](Self::clip_grad_norm). One pass over the gradients gives the norm and the
    /// statistics, and the update takes the factor in, so the gradients that are held afterwards may be unscaled. In
    /// half precision the scaled gradient is not rounded to the parameter's kind.
    ///
    /// # Errors
    ///
    /// As [`backward_step`](Self::backward_step).
    pub fn backward_step_clip_norm(&mut self, loss: &Tensor, max: f64) -> Result<StepReport> {
        clip::check_limit(max)?;
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
        if self.clipped.take().is_some() {
            // A clip measured gradients that no step took.
            self.instruments.gradients.forget_all();
        }
        self.instruments.micro.reset();
        self.inner.zero_grad()
    }

    fn backward(&mut self, loss: &Tensor) -> Result<()> {
        self.zero_grad()?;
        if self.is_past_training(loss) {
            return Ok(());
        }
        loss.f_backward().map_err(|error| Error::torch("computing the gradients of the loss", &error))
    }

    /// Once components are frozen a loss may depend on nothing that trains; that is an end, not an error.
    fn is_past_training(&self, loss: &Tensor) -> bool {
        self.tracker.all_frozen() || self.tracker.frozen() > 0 && !loss.requires_grad()
    }

    fn report(&self, step: u64) -> StepReport {
        let mut report = StepReport::new(step, self.tracker.total_steps(), self.tracker.total());
        report.learning_rate = self.inner.lr();
        report.count(&self.tracker);
        report
    }

    fn tell_caught_up(&mut self, report: &mut StepReport) {
        if let Some(digested) = self.caught_up.take() {
            self.tell(digested, report);
        }
    }

    fn observe(&mut self, report: &StepReport) {
        let mut failed = Vec::new();
        self.observers.retain_mut(|observer| match observer.on_step(report) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(target: "grades", step = report.step, %error, "an observer failed and is left out");
                failed.push(error);
                false
            }
        });
        self.observer_errors.append(&mut failed);
    }
}

impl<O: fmt::Debug> fmt::Debug for FreezingOptimizer<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreezingOptimizer")
            .field("inner", &self.inner)
            .field("steps", &self.steps)
            .field("frozen", &self.tracker.frozen())
            .field("total", &self.tracker.total())
            .finish_non_exhaustive()
    }
}
