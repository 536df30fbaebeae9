//! Reports of runs and comparisons, made of folders that the tests write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod comparisons;
mod pages;
mod reading;
mod records;
mod support;
