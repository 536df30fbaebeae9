//! [`FreezingOptimizer`]: the struct and its step.

mod build;
mod checkpoint;
mod finished;
mod gradients;
mod hyperparameters;
mod ranks;

pub use checkpoint::SavedState;
pub use finished::Finished;

use std::fmt;

use tch::Tensor;

use super::cooldown::Cooldown;
use super::memory::Memory;
use super::monitor::{CurrentStep, Deferred, Measurement, Monitor, Outcome, Scale};
use super::observers::Observers;
use super::over_ranks::OverRanks;
use super::params::ParamSet;
use super::reclaim::Reclaim;
use super::transitions::Transitions;
use crate::component::Component;
use crate::error::{Error, Result};
use crate::optim::{GradStats, Hyperparameter, InnerOptimizer};
use crate::parameters::Parameters;
use crate::tracker::{FreezeEvent, FreezeTracker, StepReport};

/// Wraps an optimizer and freezes each component of the model once its policy says that it has converged.
///
/// It has the methods of [`tch::nn::Optimizer`], which return a `Result`; the steps return a [`StepReport`].
/// In a training loop two lines change, the one that builds the optimizer and the one that steps:
///
/// ```
/// use grades::component::{ComponentConfig, ComponentKind};
/// use grades::policy::Threshold;
/// use grades::statistic::Statistic;
/// use grades::{FreezingConfig, FreezingOptimizer};
/// use tch::nn::{self, Module, OptimizerConfig};
/// use tch::{Device, Kind, Tensor};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let layer = nn::linear(vs.root() / "layer", 4, 1, Default::default());
/// let x = Tensor::randn([32, 4], (Kind::Float, Device::Cpu));
/// let y = x.sum_dim_intlist(1, true, Kind::Float);
///
/// let components = ComponentConfig::default().with_pattern(r"layer\.weight", ComponentKind::Up)?;
/// let config = FreezingConfig::new(Threshold::new(Statistic::GradL1, 0.05)).with_components(components);
/// let mut opt = FreezingOptimizer::new(nn::Sgd::default().build(&vs, 0.1)?, &vs, &config, 500)?;
/// for _ in 0..500 {
///     let loss = layer.forward(&x).mse_loss(&y, tch::Reduction::Mean);
///     if opt.backward_step(&loss)?.should_stop {
///         break;
///     }
/// }
/// assert!(opt.should_stop());
/// let inner = opt.finish()?.optimizer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What freezing does
///
/// A decision from the gradients of step t takes effect from step t + 1 on. A frozen parameter has `requires_grad`
/// off, no gradient, and no state in the inner optimizer. Its bytes never change again, whatever the weight decay
/// and the momentum. The gradients of all other parameters are unaffected. Once all components are frozen, a further
/// step does nothing, not even to parameters that belong to no component.
///
/// # Inner optimizers
///
/// `O` is any [`InnerOptimizer`]: [`tch::nn::Optimizer`] (whose moments of frozen parameters stay allocated,
/// because tch keeps them out of reach), the optimizers in [`optim`](crate::optim) (which free them), or
/// `Box<dyn InnerOptimizer>` for a choice at run time.
pub struct FreezingOptimizer<O> {
    inner: O,
    tracker: FreezeTracker,
    params: ParamSet,
    monitor: Monitor,
    cooldown: Cooldown,
    reclaim: Reclaim,
    observers: Observers,
    /// The group of processes that the gradients are summed over.
    ranks: Option<OverRanks>,
    /// The number of optimizer steps, skipped ones included.
    steps: u64,
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Applies an update to every active parameter, then freezes the components that have converged.
    ///
    /// # Deferred statistics
    ///
    /// Where a component is on a device other than the CPU, statistics are summed on the device and sent to the host
    /// while it works on; they are read at the next step, before its update. A freeze decided from step t still takes
    /// effect from step t + 1 on, but its event and [`StepReport::checked`] are in the report of step t + 1. A thaw, which
    /// needs a backward pass of its own, takes effect one step later than on the CPU. With `stop_at` below 1, what still
    /// trains gets one more update. [`finish`](Self::finish) reports the statistics of the last step.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when a policy compares two batches and no step so far had two micro-batches, and
    /// [`Error::Torch`] when libtorch refuses. After an error [`steps`](Self::steps) says whether the update was applied.
    pub fn step(&mut self) -> Result<StepReport> {
        self.step_scaled(&Scale::One)
    }

    fn step_scaled(&mut self, scale: &Scale) -> Result<StepReport> {
        self.sum_over_ranks()?;
        self.check_deferred()?;
        if self.tracker.all_frozen() {
            return self.step_all_frozen();
        }
        // Measure.
        let measurement = self.update(self.steps + 1, scale)?;
        self.cooldown.after_update(self.steps, &self.tracker, &self.params)?;
        let mut report = self.begin_report(true)?;
        // Check and act.
        if let Some(measurement) = self.monitor.defer(measurement) {
            add(&mut report, self.check(measurement, false)?);
        }
        // Report.
        self.monitor.end_step();
        self.conclude(report)
    }

    /// Counts a step without an update, such as one whose gradients are not finite.
    ///
    /// The gradients are dropped; weights, moments and the policies' state are unchanged. The step counts as one of the
    /// planned steps, so components that cool go on cooling. The report says that no update was applied.
    ///
    /// ```
    /// use grades::optim::AdamConfig;
    /// use grades::policy::Never;
    /// use grades::{FreezingConfig, FreezingOptimizer};
    /// use tch::{Device, Kind, nn};
    ///
    /// let vs = nn::VarStore::new(Device::Cpu);
    /// let w = (vs.root() / "block" / 0).ones("weight", &[2, 2]);
    /// let inner = AdamConfig::adamw().build(&vs, 0.1)?;
    /// let mut optimizer = FreezingOptimizer::new(inner, &vs, &FreezingConfig::new(Never), 10)?;
    ///
    /// let loss = (&w * f64::INFINITY).sum(Kind::Float);
    /// optimizer.zero_grad()?;
    /// optimizer.backward_accumulate(&loss, 1.0)?;
    /// let norm = optimizer.clip_grad_norm(1.0)?;
    /// let report = if norm.is_finite() { optimizer.step()? } else { optimizer.skip_step()? };
    /// assert!(!report.applied && report.step == 1);
    /// assert_eq!(w.double_value(&[0, 0]), 1.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn skip_step(&mut self) -> Result<StepReport> {
        self.sum_over_ranks()?;
        self.check_deferred()?;
        self.zero_grad()?;
        if !self.tracker.all_frozen() {
            self.steps += 1;
        }
        let report = self.begin_report(false)?;
        self.conclude(report)
    }

    /// Reads the deferred statistics of the last step and acts on them, instead of the next step.
    ///
    /// Returns their report, which observers get too; `None` when there was nothing to read, as always on the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn flush(&mut self) -> Result<Option<StepReport>> {
        self.check_deferred()?;
        if !matches!(self.monitor.deferred(), Deferred::Checked(_)) {
            return Ok(None);
        }
        let report = self.begin_report(false)?;
        Ok(Some(self.send(report)))
    }

    /// Ends a run: reads deferred statistics and acts on them, applies the averages of all components that still cool,
    /// and returns the inner optimizer.
    ///
    /// Every run should end with it, whatever ended it. After a run whose components all froze nothing is left to do;
    /// any other run may lack its last statistics and its averages. A run that goes on later from a file that
    /// [`save`](Self::save) wrote is dropped instead. Where averages are lost by that, a warning is logged.
    ///
    /// A program that still needs the wrapper after the last step, such as to save it or to choose between the averages and
    /// other weights, calls [`flush`](Self::flush) and [`apply_averages`](Self::apply_averages) instead, which is the same.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn finish(mut self) -> Result<Finished<O>> {
        let report = self.flush()?;
        self.apply_averages()?;
        if let Some(mut ranks) = self.ranks.take() {
            ranks.end()?;
        }
        let observer_errors = self.take_observer_errors();
        Ok(Finished { optimizer: self.inner, report, observer_errors })
    }

    /// Sets all parameters that cool by averaging to their means, for an evaluation or a run that ends before they
    /// freeze.
    ///
    /// [`finish`](Self::finish) does so too. Does nothing unless components cool by averaging
    /// ([`Cooling::Average`](crate::config::Cooling::Average)).
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn apply_averages(&mut self) -> Result<()> {
        self.cooldown.apply_all(&self.params)
    }

    /// Returns the bytes that are allocated now, by use.
    pub fn memory(&self) -> Memory {
        Memory::of(&self.params, &self.monitor, &self.cooldown, &self.inner)
    }

    /// Applies the update of a step, and returns the measurements that a policy or a clip asked for.
    fn update(&mut self, step: u64, scale: &Scale) -> Result<Option<Measurement>> {
        let Self { inner, tracker, params, monitor, cooldown, .. } = self;
        monitor.check_micro_batches(step, tracker)?;
        params.enforce_frozen()?;
        cooldown.before_update(step, tracker, params, inner)?;
        let plan = monitor.plan(CurrentStep { step, tracker, params }, inner)?;
        let mut sums = GradStats::new(params.all().len());
        inner.step_measured(&plan.request(params, scale), &mut sums)?;
        self.steps = step;
        monitor.collect(plan, sums, scale, tracker, params, inner)
    }

    /// Asks the policies about a measurement, and acts on their decisions.
    fn check(&mut self, measurement: Measurement, deferred: bool) -> Result<Outcome> {
        let components = self.tracker.components();
        let (mut checked, snapshot) = self.monitor.evaluate(measurement, deferred, components)?;
        let Some(snapshot) = snapshot else {
            let checked = Some(checked).filter(|checked| checked.grad_norm.is_some());
            return Ok(Outcome { checked, events: Vec::new() });
        };
        let check = self.tracker.check(&snapshot);
        self.act_on(&check.events)?;
        let events = checked.record(check, snapshot, &self.tracker);
        Ok(Outcome { checked: Some(checked), events })
    }

    /// Checks the deferred measurement of the last step, if there is one.
    ///
    /// The backward pass of this step is already queued, so reading now does not stall the device.
    fn check_deferred(&mut self) -> Result<()> {
        if let Some(measurement) = self.monitor.deferred().take_measured() {
            *self.monitor.deferred() = Deferred::Checked(self.check(measurement, true)?);
        }
        Ok(())
    }

    /// Freezes and thaws the parameters of the components that these events name.
    fn act_on(&mut self, events: &[FreezeEvent]) -> Result<()> {
        let Self { inner, tracker, params, monitor, cooldown, reclaim, ranks, .. } = self;
        Transitions { inner, tracker, params, monitor, cooldown, reclaim, ranks }.apply(events)
    }

    /// Begins the report of the last step, with the outcome of a deferred check and the components that have cooled down.
    fn begin_report(&mut self, applied: bool) -> Result<StepReport> {
        let mut report = StepReport::new(self.steps, self.tracker.total_steps(), self.tracker.total());
        report.applied = applied;
        report.learning_rate = self.inner.get(0, Hyperparameter::LearningRate);
        if let Some(outcome) = self.monitor.deferred().take_checked() {
            add(&mut report, outcome);
        }
        let cooled = self.tracker.finish_cooling(self.steps);
        self.act_on(&cooled)?;
        report.events.extend(cooled);
        Ok(report)
    }

    /// Concludes a step: at the end of training the averages are applied. Then the report is sent.
    fn conclude(&mut self, report: StepReport) -> Result<StepReport> {
        self.end_step_in_group()?;
        if self.tracker.should_stop() {
            self.apply_averages()?;
        }
        Ok(self.send(report))
    }

    /// Counts the components of a report and sends it to the observers.
    fn send(&mut self, mut report: StepReport) -> StepReport {
        report.count(&self.tracker);
        self.observers.notify(&report);
        report
    }

    /// Does nothing but report a deferred check, if there was one.
    fn step_all_frozen(&mut self) -> Result<StepReport> {
        // The check that froze the last component may have been deferred.
        self.apply_averages()?;
        if let Some(report) = self.flush()? {
            return Ok(report);
        }
        let mut report = self.begin_report(false)?;
        report.count(&self.tracker);
        Ok(report)
    }
}

/// Adds the outcome of a check to a report.
fn add(report: &mut StepReport, outcome: Outcome) {
    report.checked = outcome.checked;
    report.events.extend(outcome.events);
}

impl<O> FreezingOptimizer<O> {
    /// Returns the inner optimizer.
    pub fn get_ref(&self) -> &O {
        &self.inner
    }

    /// Returns the inner optimizer. Changes behind the wrapper's back may break the contracts of a freeze.
    pub fn get_mut(&mut self) -> &mut O {
        &mut self.inner
    }

    /// Returns the inner optimizer and gives up freezing, averages and deferred statistics; frozen parameters still have
    /// `requires_grad` off. [`finish`](Self::finish) ends a run without such losses.
    pub fn into_inner(self) -> O {
        self.inner
    }

    /// Returns whether training should end: the share `stop_at` of the components is frozen.
    pub fn should_stop(&self) -> bool {
        self.tracker.should_stop()
    }

    /// Returns the components, in a fixed order.
    pub fn components(&self) -> &[Component] {
        self.tracker.components()
    }

    /// Returns the tracker: the state of every component, and how the components were found.
    pub fn tracker(&self) -> &FreezeTracker {
        &self.tracker
    }

    /// Returns the trainable parameters that the wrapper was built with, frozen ones included.
    pub fn parameters(&self) -> &Parameters {
        self.params.all()
    }

    /// Returns the parameters that still train, as handles to the model's own tensors.
    pub fn trainable_variables(&self) -> Vec<Tensor> {
        self.params.active_tensors().into_iter().map(Tensor::shallow_clone).collect()
    }

    /// Returns whether the model must detach the input side of its embedding before the next step: with
    /// [`Tied::Head`](crate::config::Tied::Head), while the first block is frozen whole.
    pub fn input_is_frozen(&self) -> bool {
        self.params.input_is_frozen()
    }

    /// Returns the number of optimizer steps, skipped ones included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the errors of observers that failed since the last call; such observers are removed.
    pub fn take_observer_errors(&mut self) -> Vec<Error> {
        self.observers.take_errors()
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
