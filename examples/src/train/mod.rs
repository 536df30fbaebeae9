//! The training recipe: from a configuration to a run folder, straight through.

mod batches;
mod checkpoint;
mod classifier;
mod decoder;
mod evaluate;
mod evaluate_decoder;
mod fit;
mod folder;
mod guard;
mod interrupt;
mod keeping;
mod log;
mod lora;
mod memory;
mod never;
mod optimizer;
mod progress;
mod recipe;
mod resume;
mod schedule;
mod summary;
mod task;

pub use evaluate::{Evaluation, evaluate};
pub use evaluate_decoder::{DecoderEvaluation, evaluate_decoder};
pub use folder::RunFolder;
pub use guard::BadNumbers;
pub use interrupt::Interrupt;
pub use log::StepRecord;
pub use memory::peak_memory;
pub use never::Never;
pub use optimizer::build_optimizer;
pub use progress::Progress;
pub use recipe::{Outcome, resume, train};
pub use resume::Resume;
pub use schedule::LearningRate;
pub use summary::Summary;
