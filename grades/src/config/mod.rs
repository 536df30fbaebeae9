//! The `[freezing]` table: how and when components freeze.

mod cooling;
mod followers;
pub(crate) mod freezing;
mod grace;
mod preset;
mod settings;
mod tied;

pub use cooling::Cooling;
pub use followers::Followers;
pub(crate) use freezing::FreezingConfig;
pub use grace::Grace;
pub use tied::Tied;
