//! Shared parts of the tests: a transformer small enough to compare byte by byte, policies that freeze at given steps, and
//! the tolerances of all comparisons.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod bits;
mod policies;
mod report;
mod tiny_bert;
pub mod tolerance;

pub use bits::{Snapshot, assert_close, bits, snapshot};
pub use policies::{Asked, FreezeAt, Never};
pub use report::ReportExt;
pub use tiny_bert::{Spec, TinyBert};
