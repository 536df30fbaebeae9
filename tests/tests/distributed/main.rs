//! Data-parallel training: contracts 12 to 20, each in real processes of this very program, on this machine.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod agreement;
mod faults;
mod launchers;
mod processes;
mod recipe;
mod resume;
mod sharding;
mod sums;
mod training;
