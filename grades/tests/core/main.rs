//! Components, configuration, tracker and observers: all that works without libtorch.
//!
//! The policies here are the test's own: `grades` knows no others, and a crate of policies is not linked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod budget;
mod components;
mod config;
mod cooldown;
mod freeze_log;
mod grace;
mod linking;
mod no_components;
mod policies;
mod ranks;
mod statistic;
mod statistics_log;
mod thawing;
mod tracker;
