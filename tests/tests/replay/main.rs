//! The presets, and the preset `official` against what the Python package `grades` 1.0.6 did in the runs recorded in
//! `golden/replay.json`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod official;
mod optimizer;
mod presets;
mod recorded;

use grades_policies as _;
