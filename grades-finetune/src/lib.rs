//! Fine-tunes transformers with GradES: the trainer behind the program `finetune`, as a library.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use grades_finetune::config::{Document, RunConfig};
//! use grades_finetune::log::MemoryLogger;
//! use grades_finetune::run::Interrupt;
//! use grades_finetune::train::train_logged;
//! use grades_policies as _; // links the policies that the configuration names
//!
//! let mut document = Document::read(Path::new("examples/configs/outlook.toml"))?;
//! document.set("training.seed=1")?;
//! let config = RunConfig::read(document.table())?;
//! let mut log = MemoryLogger::default();
//! let outcome = train_logged(&config, "outlook", &Interrupt::never(), &mut log)?;
//! println!("{:?} after {} steps", outcome.summary.ended, log.steps.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! - To train from a program: [`config`] reads a run's TOML, [`train`] trains, resumes and writes a [`run`] folder.
//! - To follow a run: [`log`] has the trait of loggers, and [`records`] the type of every line that a run writes.
//! - To use a trained model: [`predict`]; [`metrics`] has the measures of predictions.
//! - To read results: [`records`] for the files, [`report`] for pages and pictures, [`compare`] for several ways to train.

pub mod bench;
mod cache;
mod card;
mod causes;
pub mod checkpoint;
pub mod cli;
pub mod compare;
pub mod config;
pub mod data;
pub mod log;
pub mod metrics;
pub mod predict;
mod printable;
pub mod records;
pub mod report;
pub mod run;
pub mod state;
pub mod storage;
mod tasks;
pub mod train;
