//! What the tests share: a transformer small enough to compare byte by byte, and policies that do as they are told.

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

pub use bits::{Snapshot, assert_close, bits, snapshot};
pub use policies::{Asked, FreezeAt, Never};
pub use report::ReportExt;
pub use tiny_bert::{Spec, TinyBert};
