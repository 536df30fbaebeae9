//! Steps without an update, and what is read before its time.

use super::FreezingOptimizer;
use crate::error::Result;
use crate::optim::InnerOptimizer;
use crate::tracker::StepReport;

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Lets a step pass without an update, such as one whose gradients are not finite.
    ///
    /// The gradients are dropped; weights, moments and what the policies have learnt stay as they are. The step counts
    /// as one of the planned ones, so what cools goes on cooling, and the report says that nothing was applied.
    ///
    /// ```
    /// use grades::policy::Never;
    /// use grades::{FreezingConfig, FreezingOptimizer};
    /// use grades::component::{ComponentConfig, ComponentKind};
    /// use grades::optim::AdamConfig;
    /// use tch::{Device, Kind, nn};
    /// let vs = nn::VarStore::new(Device::Cpu);
    /// let w = vs.root().ones("w", &[2]);
    /// let components = ComponentConfig::default().with_pattern("w", ComponentKind::Up)?;
    /// let config = FreezingConfig::with_policy(Never).components(components);
    /// let mut optimizer = FreezingOptimizer::new(AdamConfig::adamw().build(&vs, 0.1)?, &vs, &config, 10)?;
    /// let loss = (&w * f64::INFINITY).sum(Kind::Float);
    /// optimizer.zero_grad()?;
    /// optimizer.backward_micro(&loss, 1.0)?;
    /// let norm = optimizer.clip_grad_norm(1.0)?;
    /// let report = if norm.is_finite() { optimizer.step()? } else { optimizer.skip()? };
    /// assert!(!report.applied && report.step == 1);
    /// assert_eq!(w, tch::Tensor::ones([2], (Kind::Float, Device::Cpu)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn skip(&mut self) -> Result<StepReport> {
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
            self.put_averages()?;
        }
        report.take_counts(&self.tracker);
        self.observe(&report);
        Ok(report)
    }

    /// Reads what the last step left on devices and acts on it, which the next step would otherwise do; observers are
    /// told. The report of it, or `None` when there was nothing to read, as always on the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn settle(&mut self) -> Result<Option<StepReport>> {
        self.catch_up()?;
        if self.caught_up.is_none() {
            return Ok(None);
        }
        let mut report = self.report(self.steps);
        self.tell_caught_up(&mut report);
        self.observe(&report);
        Ok(Some(report))
    }
}
