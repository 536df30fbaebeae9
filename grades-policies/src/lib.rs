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
//! | [`NoProgress`] | for a significance in the loss's own unit, on the same optimizers |
//! | [`Payoff`] | to freeze by progress and cost, low blocks first where they give little |
//! | [`BottomUp`] | as a rival: AutoFreeze's rule |
//! | [`RelativeToPeak`], [`Plateau`] | without momentum, where gradients fall clearly |
//! | [`TwoBatchNoise`] | with gradient accumulation, over any optimizer |
//! | [`Quota`] | when the cost must be known beforehand |
//! | [`Patience`], [`AllOf`], [`AnyOf`], [`PerComponentType`], [`Thaw`] | around the others |
//!
//! Policies see numbers and no tensors, so this crate builds and tests without libtorch. To write your own, see
//! [`grades::policy`].

mod all_of;
mod any_of;
mod bottom_up;
mod children;
mod common;
mod fixed_threshold;
mod no_progress;
mod patience;
mod payoff;
mod per_component_type;
mod plateau;
mod quota;
mod relative_to_peak;
mod signal_fraction;
mod thaw;
mod two_batch;

pub use all_of::AllOf;
pub use any_of::AnyOf;
pub use bottom_up::BottomUp;
pub use fixed_threshold::FixedThreshold;
pub use no_progress::NoProgress;
pub use patience::Patience;
pub use payoff::Payoff;
pub use per_component_type::{PerComponentType, Selector};
pub use plateau::Plateau;
pub use quota::Quota;
pub use relative_to_peak::RelativeToPeak;
pub use signal_fraction::SignalFraction;
pub use thaw::Thaw;
pub use two_batch::TwoBatchNoise;
