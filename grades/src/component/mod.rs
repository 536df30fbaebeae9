//! From parameter names to components: what freezes as one, of which kind, in which layer.

mod config;
mod kind;
mod layout;
mod map;
mod pattern;

pub use config::{AdapterGrouping, ComponentConfig};
pub use kind::ComponentKind;
pub use layout::Layout;
pub use map::{Component, ComponentMap, LeftOut, ParameterInfo};
pub use pattern::{ComponentPattern, PatternMatch};
