//! Tests of `grades_finetune::data::sequence`.

#![allow(clippy::single_range_in_vec_init, reason = "a sequence may well have one range of targets")]

mod batches;
mod encoding;
mod files;
mod hostile;
mod published;
mod template;
