//! The `[schedule]` table.

use grades::schema::field::{SHARE, number, word};
use grades::schema::{table, words};
use serde::Serialize;

table! {
    /// The learning rate over the steps.
    #[derive(Debug, Clone, Serialize)]
    pub struct ScheduleConfig = "schedule" {
        // Where components cool on their own, one more decay for all would cool them twice.
        /// The learning rate after the warm-up.
        name: ScheduleName =
            word(ScheduleName::Linear).or(ScheduleName::UntilFrozen, "if components cool before they freeze"),
        /// The share of the steps over which the learning rate rises from 0.
        warmup: f64 = number(0.06, SHARE),
    }
}

words! {
    /// The course of a learning rate after its warm-up.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ScheduleName: "schedule" {
        /// Falls to 0 in a straight line.
        Linear = "linear",
        /// Falls to 0 along half a cosine.
        Cosine = "cosine",
        /// Is constant.
        Constant = "constant",
        /// Is constant in a run that the freezes end: each component's own rate falls before it freezes.
        UntilFrozen = "until-frozen",
    }
}
