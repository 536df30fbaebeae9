//! Optimizers: the trait of what a freezing wrapper wraps, its implementation for tch's own optimizers, and [`Adam`]
//! (with decoupled decay: [`AdamW`]) and [`Sgd`] on kernels that update and measure in one pass.

mod adam;
mod batches;
mod boxed;
mod groups;
mod half_precision;
mod implementation;
mod inner;
mod passes;
mod request;
mod sgd;
mod slots;
mod stateful;
mod sums;
mod tch_optimizer;
mod validate;
mod wide;

pub use adam::{Adam, AdamConfig, AdamW};
pub use half_precision::HalfPrecision;
pub use implementation::Implementation;
pub use inner::{InnerOptimizer, MomentRates};
pub use request::{GradScale, StepRequest, Wanted};
pub use sgd::{Sgd, SgdConfig};
pub use stateful::{OptimizerState, ParameterState, StatefulOptimizer};
pub use sums::StepSums;
