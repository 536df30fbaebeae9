//! The wrapper: an optimizer whose components freeze one by one.
//!
//! [`FreezingOptimizer`](crate::FreezingOptimizer) orders the work; each of its parts is a module with its own state.

mod cooldown;
mod memory;
mod monitor;
mod observers;
pub(crate) mod optimizer;
mod over_ranks;
mod params;
mod reclaim;
mod transitions;

pub use memory::Memory;
pub use optimizer::{Finished, SavedState};
