//! The `[schedule]` table.

use serde::Serialize;

use super::field::{SHARE, number, word};
use super::table::table;
use super::words::words;

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

/// The course of a learning rate after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleName {
    /// Falls to 0 in a straight line.
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
    /// Is constant.
    Constant,
    /// Is constant in a run that the freezes end: each component's own rate falls before it freezes.
    #[serde(rename = "until-frozen")]
    UntilFrozen,
}

words!(
    ScheduleName,
    "schedule",
    "linear" => Self::Linear,
    "cosine" => Self::Cosine,
    "constant" => Self::Constant,
    "until-frozen" => Self::UntilFrozen,
);
