//! The policies, each against a table of its own and all against the same laws.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod bottom_up;
mod composite;
mod examples;
mod fixed_threshold;
mod laws;
mod linked;
mod no_progress;
mod patience;
mod payoff;
mod per_component_type;
mod plateau;
mod quota;
mod relative_to_peak;
mod signal_fraction;
mod support;
mod thaw;
mod two_batch;
