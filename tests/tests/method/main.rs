//! The method: what is measured, and how components cool, freeze and thaw, against computations of the tests' own.
//!
//! # What the published code of GradES gets wrong
//!
//! Each measured defect of the Python package (1.0.6) has a test that shows this project without it:
//!
//! | defect | test |
//! |---|---|
//! | the first comparison returns 0 and freezes all | `published::a_first_comparison_is_none` |
//! | a check interval longer than the grace period does so too | `published::a_check_interval_longer_than_the_grace_period_freezes_nothing_at_once` |
//! | begun after the grace period, all freezes and the run stops | `published::a_wrapper_made_late_in_a_run_freezes_nothing_at_once` |
//! | its state is never saved | the law on `state` and `restore` in `grades-policies/tests/policies/laws.rs` |
//! | an error inside the check counts as 0 and freezes for good | `published::an_error_while_measuring_is_an_error_and_freezes_nothing` |
//! | the criterion follows the learning rate | `published::a_falling_learning_rate_freezes_nothing` |
//! | bf16 rounding makes the change vanish | `published::updates_that_bf16_swallows_are_still_seen` |
//! | an fp16 sum overflows | `published::a_change_larger_than_f16_can_hold_is_a_number`, `contracts::contract_11_statistics` |
//! | a LoRA adapter not called `default` is frozen whole | `grades/tests/core/components.rs`, adapters by name |
//! | moments of frozen matrices stay allocated | `contracts::contract_04_memory` |
//! | one host synchronisation per matrix and check | `contracts::contract_09_host_syncs` |
//! | a full copy of the weights | `paying::only_the_two_statistics_for_parity_keep_copies` |
//! | GPT-2 tracks nothing | `published::gpt2_has_components` |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

#[macro_use]
#[path = "../contracts/optimizers.rs"]
#[allow(dead_code, reason = "the contracts' program uses all of it")]
mod optimizers;
#[macro_use]
mod support;

mod abilities;
mod averaging;
mod clipping;
mod cooldown;
mod default_policy;
mod paying;
mod progress;
mod published;
mod statistics;
mod thaw;
mod two_batch;
