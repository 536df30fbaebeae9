//! Reads what runs and comparisons left: tolerant of what a run that was cut short lacks, strict about the rest.

mod comparison;
mod run;
mod statistics;

pub use comparison::{ComparisonData, Curve};
pub(super) use comparison::{operations, time};
pub use run::RunData;
pub use statistics::{StatisticPanel, StatisticSeries};
