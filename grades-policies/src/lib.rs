//! Freeze policies for GradES, one file each, registered by name.
//!
//! A program links them by using the crate; a configuration then names them:
//!
//! ```
//! use grades::FreezingConfig;
//! use grades_policies as _;
//!
//! let config = FreezingConfig::from_toml(
//!     r#"
//!     [freezing]
//!     grace = 0.3
//!     [freezing.policy]
//!     name = "patience"
//!     hits = 5
//!     policy = { name = "fixed-threshold", metric = "grad-mean-abs", tau = 1e-5 }
//!     "#,
//! )?;
//! # Ok::<(), grades::Error>(())
//! ```
//!
//! # Where to begin
//!
//! | policy | choose it |
//! |---|---|
//! | [`SignalFraction`] | first: it needs no threshold; the optimizer must be one of `grades::optim` |
//! | [`FixedThreshold`] | for the paper's rule, with a threshold of your own |
//! | [`RelativeToPeak`], [`Plateau`] | without momentum, where gradients fall clearly |
//! | [`TwoBatchNoise`] | with gradient accumulation, over any optimizer |
//! | [`Quota`] | when the cost must be known beforehand |
//! | [`Patience`], [`AllOf`], [`AnyOf`], [`PerComponentType`], [`Thaw`] | around the others |
//!
//! Policies see numbers and no tensors, so this crate builds and tests without libtorch. To write your own, see
//! [`grades::policy`].

mod all_of;
mod any_of;
mod children;
mod common;
mod fixed_threshold;
mod patience;
mod per_component_type;
mod plateau;
mod quota;
mod relative_to_peak;
mod signal_fraction;
mod thaw;
mod two_batch;

pub use all_of::AllOf;
pub use any_of::AnyOf;
pub use fixed_threshold::FixedThreshold;
pub use patience::Patience;
pub use per_component_type::{PerComponentType, Selector};
pub use plateau::Plateau;
pub use quota::Quota;
pub use relative_to_peak::RelativeToPeak;
pub use signal_fraction::SignalFraction;
pub use thaw::Thaw;
pub use two_batch::TwoBatchNoise;
