//! Tasks: a model with its data, the loss it trains by, and the evaluation of both.
//!
//! The trainer knows [`Task`] alone; [`load`] builds the one that fits the model.

mod adapters;
mod batch;
mod begin;
mod causal_lm;
mod classification;
mod classifier_encoder;
mod evaluate_classifier;
mod evaluate_decoder;
mod evaluate_model;
mod load;
mod optimizer;
mod task;

pub(crate) use adapters::{TrainedAdapter, merge_frozen};
pub(crate) use batch::{Batch, MicroBatch};
pub(crate) use evaluate_model::{evaluate_classifier_on, evaluate_decoder_on};
pub(crate) use load::{Loaded, load};
pub(crate) use optimizer::{Optimizer, build_optimizer};
pub(crate) use task::{Evaluated, Split, Task};
