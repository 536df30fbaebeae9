//! Tests of the crate: formulas, numbers from PEFT, files, freezing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod apply;
mod bad_files;
mod config;
mod files;
mod fitting;
mod formulas;
mod freezing;
mod golden;
mod gradients;
mod half;
mod merging;
mod properties;
mod support;
mod switching;
#[path = "../../../tests/src/tolerance.rs"]
mod tolerance;
