//! GradES for libtorch: an optimizer wrapper that freezes each weight matrix of a transformer once its
//! gradients say that it has converged (Wen et al., arXiv 2509.01842).
//!
//! Two lines of a training loop change, the one that builds the optimizer and the one that steps:
//!
#![cfg_attr(feature = "torch", doc = "```")]
#![cfg_attr(not(feature = "torch"), doc = "```text")]
//! use grades::policy::Threshold;
//! use grades::statistic::Statistic;
//! use grades::{FreezingConfig, FreezingOptimizer};
//! use tch::nn::{self, Module, OptimizerConfig};
//! use tch::{Device, Kind, Tensor};
//!
//! let vs = nn::VarStore::new(Device::Cpu);
//! let block = vs.root() / "block" / 0;
//! let net = nn::seq()
//!     .add(nn::linear(&block / "up", 4, 16, Default::default()))
//!     .add_fn(|x| x.relu())
//!     .add(nn::linear(&block / "down", 16, 1, Default::default()));
//! let x = Tensor::randn([32, 4], (Kind::Float, Device::Cpu));
//! let y = x.sum_dim_intlist(1, true, Kind::Float);
//!
//! let config = FreezingConfig::new(Threshold::new(Statistic::GradMeanAbs, 0.05));
//! let mut opt = FreezingOptimizer::new(nn::Adam::default().build(&vs, 1e-2)?, &vs, &config, 1000)?;
//! for _ in 0..1000 {
//!     let loss = net.forward(&x).mse_loss(&y, tch::Reduction::Mean);
//!     if opt.backward_step(&loss)?.should_stop {
//!         break; // all weight matrices are frozen
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! - **You train a model.** [`FreezingOptimizer`](crate::freezing) wraps tch's optimizer or one of `optim`, which can be
//!   saved and resumed. [`FreezingConfig`] sets the policy, the grace period and the cooldown, in code or from TOML.
//!   [`component`] finds the weight matrices by name. [`observe`] writes logs.
//! - **You write a policy.** Implement [`policy::FreezePolicy`], or [`policy::CompositePolicy`] for one that asks others.
//!   [`policy::PolicyConfig`] and [`submit!`] offer it to configuration files. The feature `testing` has a suite,
//!   `grades::testing::policy_laws`, that checks it. The crate needs no libtorch: turn the default features off.
//! - **You only want the tracker.** [`tracker::FreezeTracker`] takes statistics as numbers and returns decisions, for any
//!   framework.
//!
//! Features: `torch` (default) has everything that touches a tensor; `distributed` trains with several processes; `testing` the laws of policies; `doc-only` builds
//! the documentation without libtorch.

pub mod component;
pub mod config;
mod error;
pub mod observe;
pub mod policy;
pub mod schema;
pub mod statistic;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tracker;

#[cfg(feature = "torch")]
mod checkpoint;
#[cfg(feature = "distributed")]
pub mod distributed;
#[cfg(feature = "torch")]
pub mod freezing;
#[cfg(feature = "torch")]
pub mod optim;
#[cfg(feature = "torch")]
pub mod parameters;
#[cfg(feature = "torch")]
pub mod torch;

pub use config::freezing::FreezingConfig;
#[cfg(feature = "torch")]
pub use error::first_line;
pub use error::{Error, Problem, Problems, Result};
#[cfg(feature = "torch")]
pub use freezing::optimizer::FreezingOptimizer;

/// Not public API: what the macros need.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde;
    pub use toml;

    pub use crate::schema::key::doc_text;
}
