//! The `[freezing]` table: how and when components freeze.

mod cooling;
mod followers;
pub(crate) mod freezing;
mod preset;
mod settings;

pub use cooling::Cooling;
pub use followers::Followers;
pub(crate) use freezing::FreezingConfig;
