//! Every file that the project reads, damaged in many ways: each is read or refused; nothing panics, aborts or takes more
//! memory than the machine is to give, and nothing is written outside of the folders that are meant.
//!
//! `GRADES_TORTURE=1` (`make torture`) tries over a million files; `GRADES_FUZZ_SEED` makes other ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod checkpoints;
mod data;
mod driver;
mod found;
mod jinja;
mod models;
mod mutate;
mod strangers;
mod texts;
#[path = "../../../grades-models/tests/support/tiny.rs"]
mod tiny;
#[path = "../../../grades-models/tests/support/tiny_decoder.rs"]
mod tiny_decoder;
