//! The surroundings of a run: its folder, the files that it reads, signals, and the processor time and memory it uses.

mod folder;
mod inputs;
mod interrupt;
mod usage;

pub use folder::RunFolder;
pub(crate) use inputs::{model_inputs, run_inputs};
pub use interrupt::Interrupt;
pub use usage::{cpu_seconds, peak_memory, resident_memory};
