//! GradES for libtorch: an optimizer wrapper that freezes each weight matrix of a transformer once its
//! gradients say that it has converged (Wen et al., arXiv 2509.01842).

pub mod component;
pub mod config;
mod error;
pub mod observe;
pub mod policy;
pub mod schema;
pub mod statistic;
pub mod tracker;

#[cfg(feature = "torch")]
mod checkpoint;
#[cfg(feature = "torch")]
pub mod freezing;
#[cfg(feature = "torch")]
pub mod optim;
#[cfg(feature = "torch")]
pub mod parameters;
#[cfg(feature = "torch")]
pub mod torch;

pub use config::freezing::FreezingConfig;
pub use error::{Error, Problem, Problems, Result};
#[cfg(feature = "torch")]
pub use freezing::optimizer::FreezingOptimizer;

/// Not public API: what the macros need.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
