//! The records of runs and comparisons: the one schema of every log, summary and result, written and read through the
//! same types.
//!
//! | file | record |
//! |---|---|
//! | `steps.jsonl` | [`StepRecord`] |
//! | `freezes.jsonl` | [`FreezeEvent`](grades::tracker::FreezeEvent) |
//! | `statistics.jsonl` | [`StatisticsLine`] |
//! | `evals.jsonl` | [`EvalRecord`] |
//! | `summary.json` | [`Summary`] |
//! | `compare.json` | [`Comparison`] |
//! | the output of `finetune monitoring` | [`Overhead`] |
//!
//! A reader accepts what a run that was cut short, or an older version, lacks: such a field is `None`, 0, or NaN where 0
//! would be a value. Any other mismatch is an error that names the file and the line.

mod average;
mod classes;
mod comparison;
mod evaluation;
mod freeze;
mod json;
mod metric;
mod number;
mod numbers;
mod overhead;
mod saved;
mod statistics;
mod step;
mod summary;

pub use average::{Average, mean, standard_deviation};
pub use classes::{ClassResult, ClassResults};
pub use comparison::{Comparison, ComparisonRow, Failure, Paired, RunResult, Savings, Target};
pub use evaluation::{EVALS, EvalRecord, Evaluation, Scores};
pub use freeze::FREEZES;
pub use json::{Ending, read_lines, write_line};
pub use metric::Metric;
pub use numbers::{Numbers, Quantity, flop_unit};
pub use overhead::Overhead;
pub use saved::freezing_sentence;
pub use statistics::{STATISTICS, StatisticsLine};
pub use step::{ComponentCounts, STEPS, SkipReason, StepMemory, StepRecord, StepWork};
pub use summary::{
    BestStep, DataCounts, FlopCounts, FreezeCounts, MemoryCounts, StepCounts, StopReason, Summary, Times,
};
