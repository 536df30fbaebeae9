//! `finetune compare`: several ways to train with the same model, data, seeds and budget, side by side.
//!
//! Each run is a process of its own, so its time and its peak memory are its own. All variants run with a seed before
//! the next seed begins, in an order that rotates from seed to seed: a machine that slows down favours none.

mod folder;
mod order;
mod overhead;
mod paired;
mod plan;
mod process;
mod read_run;
mod run;
mod summarize;
mod table;
mod variants;

pub use order::order;
pub use paired::paired;
pub use run::{Options, Outcome, compare};
pub use table::markdown;
pub use variants::{Variant, variants};
