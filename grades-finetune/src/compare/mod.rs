//! `finetune compare`: several ways to train on the same model, data, seeds and budget, side by side.
//!
//! Each run is a process of its own, so that peak memory and time are its own, too. All rows run with a seed before the next
//! seed begins, in an order that is rotated from seed to seed: a machine that gets slower or faster favours none.

mod comparison;
mod folder;
mod monitoring;
mod numbers;
mod order;
mod process;
mod record;
mod rows;
mod run;
mod statistics;
mod table;

pub use comparison::{Comparison, Failure, RowResult, Savings, Target};
pub use monitoring::MonitoringCost;
pub use numbers::Numbers;
pub use order::order;
pub use record::{EvalPoint, RunRecord};
pub use rows::{BASELINE, BUILT_IN, Row, rows};
pub use run::{Options, Outcome, compare};
pub use statistics::{Paired, mean, paired, standard_deviation};
pub use table::markdown;
