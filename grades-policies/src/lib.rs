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
//! # let _ = config;
//! # Ok::<(), grades::Error>(())
//! ```
//!
//! They see numbers and no tensors, so this crate builds and tests without libtorch.

mod fixed_threshold;
mod patience;

pub use fixed_threshold::FixedThreshold;
pub use patience::Patience;
