//! Optimizers: the trait that a wrapper drives, its implementation for tch's own optimizers, and [`Adam`] (with decoupled
//! decay: [`AdamW`]) and [`Sgd`] on kernels that update and measure in one pass.

mod adam;
mod boxed;
mod fused;
mod groups;
mod half_precision;
mod implementation;
mod inner;
mod range;
mod rates;
pub(crate) mod reduction;
mod request;
mod setters;
mod sgd;
mod stateful;
mod stats;
mod tch;
mod upcast;

pub use adam::{Adam, AdamConfig, AdamW};
pub use fused::Fused;
pub use half_precision::HalfPrecision;
pub use implementation::Implementation;
pub use inner::{Capabilities, Hyperparameter, InnerOptimizer, OptimizerMemory};
pub use rates::MomentRates;
pub use request::{GradScale, StatsRequest, StepRequest};
pub use sgd::{Sgd, SgdConfig};
pub use stateful::{OptimizerState, ParameterState, StatefulOptimizer};
pub use stats::GradStats;
