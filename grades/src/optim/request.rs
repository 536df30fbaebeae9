//! What a step is asked to do besides updating.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameters};

/// What a step does besides updating: by what it scales the gradients, and what it sums of which parameters.
///
/// ```
/// use grades::optim::{AdamConfig, GradScale, InnerOptimizer, StepRequest, StepSums, Wanted};
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
///     wanted: Wanted { gradients: true, moments: true, ..Wanted::default() },
///     scale: GradScale::Factor(0.5), // such as a clip
/// };
/// let mut sums = StepSums::new(parameters.len());
/// optimizer.step_measured(&request, &mut sums)?;
/// sums.read()?;
/// assert_eq!(sums.gradient(ids[0]).unwrap().absolute, 6.0); // of the gradient as it is held
/// assert!((sums.moments(ids[0]).unwrap() - 2.0 * 0.15f64.powi(2)).abs() < 1e-7); // m = (1 − β₁)·g÷2
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StepRequest<'a> {
    /// The caller's parameters, whose ids the others are.
    pub parameters: &'a Parameters,
    /// The parameters that train, whose gradients are scaled. An optimizer that scales in its update does so for all
    /// that it updates.
    pub active: &'a [ParamId],
    /// The parameters that are to be measured.
    pub measured: &'a [ParamId],
    /// What is to be summed of each.
    pub wanted: Wanted,
    /// What the gradients are multiplied by.
    pub scale: GradScale<'a>,
}

/// What a step sums of a parameter; with nothing wanted it only tells which parameters have a gradient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Σ|g| and Σg² of the gradient as it is held, before it is scaled.
    pub gradients: bool,
    /// Σg² of what enters the moments: the scaled gradient, with coupled weight decay added.
    pub averaged: bool,
    /// Σm² of the moments after the update.
    pub moments: bool,
    /// Σ|ΔW| ÷ lr, decoupled weight decay left out.
    pub updates: bool,
}

impl Wanted {
    /// Whether the optimizer's own state is needed for it.
    pub fn is_of_state(self) -> bool {
        self.averaged || self.moments || self.updates
    }
}

/// What a step multiplies gradients by.
#[derive(Debug, Clone, Copy)]
pub enum GradScale<'a> {
    /// A number; 1 leaves them alone.
    Factor(f64),
    /// One over an f32 scalar on the gradients' device, so that nothing waits for it.
    Divisor(&'a Tensor),
}

impl GradScale<'_> {
    /// Whether it leaves the gradients alone.
    pub fn is_one(self) -> bool {
        matches!(self, GradScale::Factor(1.0))
    }

    /// A factor and a divisor for a kernel; on the CPU it takes a factor only.
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
