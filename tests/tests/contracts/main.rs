//! The contracts of DESIGN.md, one module each, over every inner optimizer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

#[macro_use]
mod optimizers;

mod contract_01_nothing_frozen;
mod contract_02_frozen_bytes;
mod contract_03_gradients_flow;
mod contract_04_memory;
mod contract_05_non_finite;
mod contract_07_resume;
mod contract_08_determinism;
mod contract_09_host_syncs;
mod contract_10_all_frozen;
mod contract_11_statistics;
mod deferred;
mod followers;
mod groups;
mod observers;
mod skipped_steps;
mod unused;
