//! Tests of `grades_finetune::data::sequence`.

#![allow(clippy::single_range_in_vec_init, reason = "a sequence may well have one range of targets")]
// Clippy allows these in test functions, but not in the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batches;
mod encoding;
mod files;
mod hostile;
mod published;
mod template;
#[path = "../../../grades-models/tests/support/tiny_decoder.rs"]
mod tiny_decoder;
