//! Optimizers: the trait of what a freezing wrapper wraps, its implementation for tch's own optimizers, and [`Adam`]
//! (with decoupled decay: [`AdamW`]) and [`Sgd`] on libtorch's fused kernels.

mod adam;
mod batches;
mod boxed;
mod groups;
mod implementation;
mod inner;
mod sgd;
mod slots;
mod tch_optimizer;
mod validate;
mod wide;

pub use adam::{Adam, AdamConfig, AdamW};
pub use implementation::Implementation;
pub use inner::{InnerOptimizer, MomentRates};
pub use sgd::{Sgd, SgdConfig};
