//! Putting adapters into a model.

mod activate;
mod adapters;
mod layers;
mod merging;
mod persist;
mod plan;
mod shared;
mod store;

pub use adapters::{Adapters, LoadOptions};
pub use layers::LinearLayers;
