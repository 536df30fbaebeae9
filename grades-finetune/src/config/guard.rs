//! The `[guard]` table.

use grades::schema::field::{Range, count, flag, number};
use grades::schema::table;
use serde::Serialize;

table! {
    /// When a run stops because its loss or gradients are NaN or infinite.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct GuardConfig = "guard" {
        /// Steps in a row without finite loss and gradients that end the run.
        max_bad_steps: u64 = count(10, 1),
        /// Warn of a loss above its running mean times this; 0 never warns.
        spike_factor: f64 = number(10.0, ZERO_OR_ABOVE_ONE),
        /// Compute the gradient norm even if `clip_norm` is 0.
        check_gradients: bool = flag(false),
    }
}

const ZERO_OR_ABOVE_ONE: Range =
    Range::new("0, or a number above 1", |number| number == 0.0 || (number > 1.0 && number.is_finite()));
