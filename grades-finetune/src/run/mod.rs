//! The surroundings of a run: its folder, the files that it reads, signals, limits, and the processor time and memory it uses.

mod folder;
mod inputs;
mod interrupt;
mod limits;
mod usage;

pub use folder::RunFolder;
pub(crate) use inputs::{changed_inputs, model_inputs, run_inputs};
pub use interrupt::Interrupt;
pub(crate) use limits::check_open_files;
pub use limits::{file_size_limit, survive_limits};
pub use usage::{available_memory, cpu_seconds, peak_memory, reset_peak_memory, resident_memory};
