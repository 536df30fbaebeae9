//! The request of a step: scales, and statistics to compute besides the update.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameters};

/// Scaling and statistics of one step.
///
/// ```
/// use grades::optim::{AdamConfig, GradScale, GradStats, InnerOptimizer, StatsRequest, StepRequest};
/// use grades::parameters::Parameters;
/// use tch::{Device, Kind, nn};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let w = vs.root().ones("w", &[2]);
/// let mut optimizer = AdamConfig::adamw().build(&vs, 0.1)?;
/// let parameters = Parameters::from_var_store(&vs)?;
/// (&w * 3.0).sum(Kind::Float).backward();
///
/// let ids: Vec<_> = parameters.ids().collect();
/// let request = StepRequest {
///     parameters: &parameters,
///     active: &ids,
///     measured: &ids,
///     stats: StatsRequest { gradients: true, moments: true, ..StatsRequest::default() },
///     scale: GradScale::Factor(0.5), // such as a clip
/// };
/// let mut stats = GradStats::new(parameters.len());
/// optimizer.step_measured(&request, &mut stats)?;
/// stats.read()?;
/// assert_eq!(stats.gradient(ids[0]).unwrap().absolute, 6.0); // of the gradient before it is scaled
/// assert!((stats.moments(ids[0]).unwrap() - 2.0 * 0.15f64.powi(2)).abs() < 1e-7); // m = (1 − β₁)·g÷2
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StepRequest<'a> {
    /// The caller's parameters, to which all ids refer.
    pub parameters: &'a Parameters,
    /// The parameters that train, whose gradients are scaled. An optimizer that scales in its update does so for all
    /// that it updates.
    pub active: &'a [ParamId],
    /// The parameters to measure.
    pub measured: &'a [ParamId],
    /// The statistics of each measured parameter.
    pub stats: StatsRequest,
    /// The factor on the gradients.
    pub scale: GradScale<'a>,
}

/// The statistics that a step computes for a parameter; with none of them it only finds which parameters have a gradient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatsRequest {
    /// Σ|g| and Σg² of the gradient before it is scaled.
    pub gradients: bool,
    /// Σg² of the gradient that enters the moments: scaled, with coupled weight decay added.
    pub moment_input: bool,
    /// Σm² of the moments after the update.
    pub moments: bool,
    /// Σ|ΔW| ÷ lr, decoupled weight decay left out.
    pub updates: bool,
    /// lr·Σg·u of the gradient g before it is scaled and the direction u of the update before this one, decoupled weight
    /// decay left out.
    pub progress: bool,
    /// The rates at which the step averaged the gradient.
    pub rates: bool,
}

impl StatsRequest {
    /// Returns whether the optimizer's own state is needed for it.
    pub fn needs_state(self) -> bool {
        self.moment_input || self.moments || self.updates || self.progress || self.rates
    }
}

/// The factor of a step on gradients.
#[derive(Debug, Clone, Copy)]
pub enum GradScale<'a> {
    /// A number; 1 leaves the gradients alone.
    Factor(f64),
    /// One over an f32 scalar on the gradients' device, so that the host does not wait for it.
    Divisor(&'a Tensor),
}

impl GradScale<'_> {
    /// Returns whether it leaves the gradients alone.
    pub fn is_one(self) -> bool {
        matches!(self, GradScale::Factor(1.0))
    }

    /// Returns a factor and a divisor for a kernel; a kernel on the CPU reads a factor only.
    pub(super) fn for_kernel(&self, on_cpu: bool) -> Result<(f64, Option<&Tensor>)> {
        match self {
            GradScale::Factor(factor) => Ok((*factor, None)),
            GradScale::Divisor(divisor) if on_cpu => {
                let divisor = f64::try_from(*divisor);
                let divisor =
                    divisor.map_err(|error| Error::torch("reading the gradients' divisor", &error))?;
                Ok((divisor.recip(), None))
            }
            GradScale::Divisor(divisor) => Ok((1.0, Some(divisor))),
        }
    }
}
