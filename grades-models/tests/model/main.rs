//! Tests of `grades_models`.

// Clippy allows these in test functions, but not in the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod forward;
mod golden;
mod load;
mod prefix;
mod save;
mod strangers;
mod support;
#[path = "../../../tests/src/tolerance.rs"]
mod tolerance;
