//! GradES for libtorch: an optimizer wrapper that freezes each weight matrix of a transformer once its
//! gradients say that it has converged (Wen et al., arXiv 2509.01842).

mod component;
pub mod config;
mod error;
mod observe;
mod policy;
mod statistic;
mod tracker;

#[cfg(feature = "torch")]
mod checkpoint;
#[cfg(feature = "torch")]
mod freezing;
#[cfg(feature = "torch")]
pub mod optim;
#[cfg(feature = "torch")]
pub mod parameters;
#[cfg(feature = "torch")]
pub mod torch;

pub use component::{
    AdapterGrouping, Component, ComponentConfig, ComponentKind, ComponentMap, ComponentPattern, Layout,
    LeftOut, ParameterInfo, PatternMatch,
};
pub use config::{Cooldown, FreezingConfig};
pub use error::{Error, Problem, Problems, Result};
#[cfg(feature = "torch")]
pub use freezing::{FreezingOptimizer, Memory, SavedState};
pub use observe::{FreezeLog, StatisticsLog, StepObserver};
pub use policy::{
    Cause, Decision, FreezePolicy, FrozenObservation, Measure, Observation, PolicyBuilder, PolicyConfig,
    PolicyPlugin, PolicyRegistry, PolicyState, Population,
};
pub use statistic::{ComponentSample, GradientSnapshot, MomentFilter, Statistic, StatisticSet, TwoBatch};
pub use tracker::{Check, EventKind, FreezeEvent, FreezeTracker, StepReport, TrackerState};

/// Not public API: what the macros need.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
