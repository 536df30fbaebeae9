//! Data-parallel training: several processes train one model, on the c10d in libtorch (feature `distributed`, Linux).
//!
//! Each process, a *rank*, computes the gradients of its own batches; a [`Group`] sums them over all ranks before the
//! update, so every rank applies the same update, computes the same statistics and freezes the same components. Gradients
//! of frozen components are not summed: the traffic shrinks with every freeze.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use grades::distributed::{Backend, Buckets, Group, Ranks};
//! # use grades::component::{ComponentConfig, ComponentKind};
//! # use grades::optim::AdamConfig;
//! # use grades::policy::Never;
//! # use grades::{FreezingConfig, FreezingOptimizer};
//! # use tch::nn::{self, Module};
//! # use tch::{Device, Kind, Tensor};
//! # let vs = nn::VarStore::new(Device::Cpu);
//! # let net = nn::linear(vs.root() / "layer", 4, 1, Default::default());
//! # let components = ComponentConfig::default().with_pattern(r"layer\.weight", ComponentKind::Up)?;
//! # let config = FreezingConfig::new(Never).with_components(components);
//! # let inner = AdamConfig::adamw().build(&vs, 0.1)?;
//! # let batches = [Tensor::randn([8, 4], (Kind::Float, Device::Cpu))];
//! # let (total_steps, device) = (1, Device::Cpu);
//! let ranks = Ranks::from_env()?.ok_or("start me with torchrun")?;
//! let group = Group::join(&ranks, Backend::for_device(device), Duration::from_secs(600))?;
//! group.broadcast(&vs)?; // all begin with the weights of rank 0
//! let optimizer = FreezingOptimizer::new(inner, &vs, &config, total_steps)?;
//! let mut optimizer = optimizer.distributed(&group, Buckets::default())?;
//! for x in batches.iter().skip(group.rank()).step_by(group.world()) {
//!     // The gradients are summed, so each rank's loss is its share of the mean over all.
//!     let loss = net.forward(x).square().mean(Kind::Float) / group.world() as f64;
//!     optimizer.backward_step(&loss)?; // sends gradients while the backward pass goes on
//! }
//! optimizer.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules of a group
//!
//! - All ranks call the same methods of the group and the wrapper in the same order. A rank without a batch calls
//!   [`step`](crate::FreezingOptimizer::step) all the same; it sends zeros.
//! - All ranks have the same model, configuration and learning rate, and skip the same steps. The wrapper
//!   compares as much of that as it can; a difference is an error on all ranks.
//! - [`zero_grad`](crate::FreezingOptimizer::zero_grad) of the wrapper comes before the backward passes of a step.
//! - After an error of the group the run cannot go on: a rank that is gone is named, and the run is resumed from a checkpoint.

mod backend;
mod buckets;
mod gradient_sum;
mod group;
mod ranks;
mod roster;
mod sharding;

pub use crate::optim::reduction::Traffic;
pub use backend::Backend;
pub use buckets::Buckets;
pub use group::{Group, ReduceOp};
pub use ranks::{Launcher, Ranks, Rendezvous};
pub use sharding::Sharding;

pub(crate) use gradient_sum::GradientSum;
