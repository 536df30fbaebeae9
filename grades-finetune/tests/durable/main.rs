//! Checkpoints, crashes, and losses that are not finite. The program itself, on files in temporary folders.
//!
//! `GRADES_TORTURE=1` (`make torture`) runs the long forms.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod broken;
mod damage;
mod disk;
mod in_process;
mod kills;
mod loss_monitor;
mod memory;
mod refused;
mod resume;
mod signals;
#[path = "../finetune/support.rs"]
#[allow(dead_code, unused_imports, reason = "each test program uses a part of it")]
mod support;
#[path = "../../../grades-models/tests/support/tiny_decoder.rs"]
mod tiny_decoder;

/// Returns the long form of a number when the long forms are enabled.
fn long_or<T>(long: T, short: T) -> T {
    if std::env::var_os("GRADES_TORTURE").is_some() { long } else { short }
}
