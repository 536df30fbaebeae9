//! Reading what runs and comparisons left: tolerant of what a run that was cut short lacks, strict about the rest.

mod comparison;
mod jsonl;
mod run;
mod statistics;

pub use comparison::{Comparison, ComparisonRow, Failure, Measured, Monitoring, RowRun, Target};
pub use run::{ComponentInfo, EvaluationLine, EventLine, RunData, StepLine};
pub use statistics::{StatisticPanel, StatisticSeries};
