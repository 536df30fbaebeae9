//! Tests of `grades_finetune::data`.

// Clippy allows these in test functions, but not in the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batches;
mod columns;
mod files;
mod pairs;
mod support;
mod tokens;
