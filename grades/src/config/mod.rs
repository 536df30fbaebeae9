//! Reading configuration: every key checked, every problem reported, all at once.

mod cooldown;
mod cooling;
mod followers;
mod freezing;
mod names;
mod preset;
mod section;

pub use cooldown::Cooldown;
pub use cooling::Cooling;
pub use followers::Followers;
pub use freezing::FreezingConfig;
pub(crate) use freezing::Schedule;
pub use names::nearest;
pub(crate) use names::unknown_name;
pub use section::{Key, Section};
