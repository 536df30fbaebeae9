//! `statistics.jsonl`: the components, then the values that policies compared.

use grades::observe::{StatisticsHeader, StatisticsRecord};
use serde::{Deserialize, Serialize};

/// The file's name in a run's folder.
pub const STATISTICS: &str = "statistics.jsonl";

/// A line of `statistics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"components\", or \"step\", \"policy\", \"statistic\", \"threshold\" and \"values\""
)]
pub enum StatisticsLine {
    /// The components, which the first line names.
    Header(StatisticsHeader),
    /// The values of a check.
    Check(StatisticsRecord),
}
