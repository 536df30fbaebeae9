//! Training: runs from a configuration to a run folder, new ones and resumed ones.
//!
//! `run.rs` sets a run up, `trainer.rs` has the loop over steps, `step.rs` a single step. The other parts each own their
//! state and return it as data for the checkpoint.

mod checkpointer;
mod costs;
mod dry_run;
mod early_stopping;
mod evaluator;
mod follow;
mod forecast;
mod leader;
mod learner;
mod loss_monitor;
mod lr_schedule;
mod prefix;
#[cfg(target_os = "linux")]
mod ranks;
#[cfg(not(target_os = "linux"))]
#[path = "no_ranks.rs"]
mod ranks;
mod resume;
mod room;
mod run;
mod saver;
mod setup;
pub(crate) mod step;
mod step_loader;
mod summary;
mod trainer;

pub(crate) use follow::follow;
pub(crate) use ranks::RunRanks;
pub(crate) use run::{resume_in_group, train_in_group};

pub use dry_run::{DryRun, dry_run, dry_run_text};
pub use early_stopping::{Patience, Verdict};
pub use loss_monitor::NonFiniteError;
pub use lr_schedule::LrSchedule;
pub use resume::{Resume, run_configuration};
pub use run::{Outcome, resume, train, train_logged};
