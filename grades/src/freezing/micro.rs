//! Gradient accumulation, seen micro-batch by micro-batch.

use tch::Tensor;

use super::FreezingOptimizer;
use super::instruments::MicroBatches;
use crate::error::{Error, Result};
use crate::optim::{InnerOptimizer, StepSums};
use crate::statistic::Statistic;

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Adds the gradients of one micro-batch to those of the step under way.
    ///
    /// `loss` is the mean loss over the micro-batch, and `share` the micro-batch's share of the step's examples, so
    /// that the shares of a step add up to 1. Policies that compare a small with a large batch (`two-batch`) read
    /// off the first micro-batch here; for all others it is the same as calling `backward` on `loss * share`.
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
    /// # use tch::nn::{self, Module, OptimizerConfig};
    /// # use tch::{Device, Kind, Reduction, Tensor};
    /// # let vs = nn::VarStore::new(Device::Cpu);
    /// # let net = nn::linear(vs.root() / "layer", 4, 1, Default::default());
    /// # let components = ComponentConfig::default().with_pattern(r"layer\.weight", ComponentKind::Up)?;
    /// # let config = FreezingConfig::with_policy(Never).components(components);
    /// # let mut opt = FreezingOptimizer::new(nn::Sgd::default().build(&vs, 0.1)?, &vs, &config, 10)?;
    /// # let batches = [16, 8].map(|n| Tensor::randn([n, 4], (Kind::Float, Device::Cpu)));
    /// opt.zero_grad()?;
    /// for x in &batches {
    ///     let y = x.sum_dim_intlist(1, true, Kind::Float);
    ///     let loss = net.forward(x).mse_loss(&y, Reduction::Mean);
    ///     opt.backward_accumulate(&loss, x.size()[0] as f64 / 24.0)?;
    /// }
    /// let report = opt.step()?;
    /// # assert!(report.applied);
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
        if self.compares_batches() && self.instruments.micro.count == 0 && share < 1.0 {
            let components: Vec<usize> = self.watched_components().map(|(index, _)| index).collect();
            let mut sums = StepSums::new(self.parameters.len());
            sums.add_gradients(&self.parameters, &self.ids_of_all(&components), true)?;
            sums.send()?;
            self.instruments.micro.first = Some((share, sums));
        }
        self.instruments.micro.count += 1;
        self.instruments.micro.seen |= self.instruments.micro.count >= 2;
        Ok(())
    }

    /// Whether a policy compares a small with a large batch.
    pub(super) fn compares_batches(&self) -> bool {
        self.reads(Statistic::TwoBatchSignal) || self.reads(Statistic::TwoBatchNoise)
    }

    /// Checks, before anything is updated, that there are batches to compare where a policy does.
    pub(super) fn check_micro_batches(&self, step: u64) -> Result<()> {
        if !self.compares_batches() || !self.is_due(step) || self.instruments.micro.seen {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "a policy that compares two batches (statistics two-batch-signal, two-batch-noise)"
                .to_owned(),
            reason: "the step's gradient came from one backward pass; accumulate at least two per step with \
                     FreezingOptimizer::backward_accumulate (training.accumulate = 2 in finetune)"
                .to_owned(),
        })
    }
}

impl MicroBatches {
    /// A new step begins.
    pub(super) fn reset(&mut self) {
        self.count = 0;
        self.first = None;
    }
}
