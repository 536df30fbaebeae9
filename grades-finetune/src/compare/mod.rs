//! `finetune compare`: several ways to train on the same model, data, seeds and budget, side by side.
//!
//! Each run is a process of its own, so that peak memory and time are its own, too. All rows run with a seed before the next
//! seed begins, in an order that is rotated from seed to seed: a machine that gets slower or faster favours none.

mod comparison;
mod folder;
mod monitoring;
mod order;
mod process;
mod record;
mod rows;
mod run;
mod statistics;
mod table;

pub use order::order;
pub use rows::{BASELINE, BUILT_IN, Row, rows};
pub use run::{Options, Outcome, compare};
pub use statistics::paired;
pub use table::markdown;
