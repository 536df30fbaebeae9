//! Steps without an update, and what is read before its time.

use super::FreezingOptimizer;
use crate::error::{Error, Result};
use crate::optim::InnerOptimizer;
use crate::tracker::StepReport;

/// The end of a run, from [`FreezingOptimizer::finish`].
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Finished<O> {
    /// The inner optimizer; frozen parameters still have `requires_grad` off.
    pub optimizer: O,
    /// The report of the last step's deferred statistics, if there were any.
    pub report: Option<StepReport>,
    /// The errors of observers that failed since they were last asked for.
    pub observer_errors: Vec<Error>,
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Lets a step pass without an update, such as one whose gradients are not finite.
    ///
    /// The gradients are dropped; weights, moments and what the policies have learnt stay as they are. The step counts
    /// as one of the planned ones, so what cools goes on cooling, and the report says that nothing was applied.
    ///
    /// ```
    /// # use grades::policy::{Decision, FreezePolicy, Observation};
    /// # use grades::statistic::StatisticSet;
    /// # #[derive(Debug, Clone)]
    /// # struct Never;
    /// # impl FreezePolicy for Never {
    /// #     fn name(&self) -> &'static str { "never" }
    /// #     fn statistics(&self) -> StatisticSet { StatisticSet::default() }
    /// #     fn decide(&mut self, _: &Observation<'_>) -> Decision { Decision::Keep }
    /// # }
    /// # use grades::{FreezingConfig, FreezingOptimizer};
    /// # use grades::component::{ComponentConfig, ComponentKind};
    /// # use grades::optim::AdamConfig;
    /// # use tch::{Device, Kind, nn};
    /// # let vs = nn::VarStore::new(Device::Cpu);
    /// # let w = vs.root().ones("w", &[2]);
    /// # let components = ComponentConfig::default().with_pattern("w", ComponentKind::Up)?;
    /// # let config = FreezingConfig::with_policy(Never).components(components);
    /// # let mut optimizer = FreezingOptimizer::new(AdamConfig::adamw().build(&vs, 0.1)?, &vs, &config, 10)?;
    /// # let loss = (&w * f64::INFINITY).sum(Kind::Float);
    /// optimizer.zero_grad()?;
    /// optimizer.backward_accumulate(&loss, 1.0)?;
    /// let norm = optimizer.clip_grad_norm(1.0)?;
    /// let report = if norm.is_finite() { optimizer.step()? } else { optimizer.skip_step()? };
    /// assert!(!report.applied && report.step == 1);
    /// assert_eq!(w, tch::Tensor::ones([2], (Kind::Float, Device::Cpu)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn skip_step(&mut self) -> Result<StepReport> {
        self.catch_up()?;
        self.zero_grad()?;
        if !self.tracker.all_frozen() {
            self.steps += 1;
        }
        let mut report = self.report(self.steps);
        self.tell_caught_up(&mut report);
        let cooled = self.tracker.finish_cooling(self.steps);
        self.act_on(&cooled)?;
        report.events.extend(cooled);
        if self.tracker.should_stop() {
            self.apply_averages()?;
        }
        report.count(&self.tracker);
        self.observe(&report);
        Ok(report)
    }

    /// Reads what the last step left on devices and acts on it, which the next step would otherwise do; observers are
    /// told. The report of it, or `None` when there was nothing to read, as always on the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn flush(&mut self) -> Result<Option<StepReport>> {
        self.catch_up()?;
        if self.caught_up.is_none() {
            return Ok(None);
        }
        let mut report = self.report(self.steps);
        self.tell_caught_up(&mut report);
        report.count(&self.tracker);
        self.observe(&report);
        Ok(Some(report))
    }

    /// Ends a run: reads deferred statistics and acts on them, applies the averages of all components that still cool,
    /// and returns the inner optimizer.
    ///
    /// Every run should end with it, whatever ended the run: a run that ends with its freezes has nothing left to do
    /// here, any other may have both. Only a run that goes on later from [`save`](Self::save) is simply dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn finish(mut self) -> Result<Finished<O>> {
        let report = self.flush()?;
        self.apply_averages()?;
        let observer_errors = self.take_observer_errors();
        Ok(Finished { optimizer: self.inner, report, observer_errors })
    }
}
