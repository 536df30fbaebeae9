//! The state of a run.

mod flop_meter;

pub use flop_meter::FlopMeter;
