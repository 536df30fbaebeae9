//! Components: the parameters that freeze together, with kind and block, found by name.

mod any;
mod config;
mod kind;
mod layout;
mod map;
mod missing;
mod parameter_info;
mod pattern;

pub use config::{AdapterGrouping, ComponentConfig};
pub use kind::ComponentKind;
pub use layout::Layout;
pub use map::{Component, ComponentMap};
pub use parameter_info::{LeftOut, ParameterInfo};
pub use pattern::{ComponentPattern, PatternMatch};
