//! Tests of `grades_models::decoder` that need no Python; `tests/tests/interop` compares with transformers.

// Clippy allows these in test functions, but not in the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answer;
mod backward;
mod config;
mod files;
mod generate;
mod memory;
mod prefix;
mod strangers;
#[path = "../support/tiny_decoder.rs"]
mod tiny_decoder;
#[path = "../../../tests/src/tolerance.rs"]
mod tolerance;
