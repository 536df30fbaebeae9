//! The library of the `finetune` program.
//!
//! [`train`] trains a model as a [`config`] says and writes a [`run`] folder; [`compare`] does so for several ways to
//! train, and [`report`] draws the results. Everything that is logged has a type in [`records`].

pub mod bench;
mod causes;
pub mod checkpoint;
pub mod cli;
pub mod compare;
pub mod config;
pub mod data;
pub mod log;
pub mod records;
pub mod report;
pub mod run;
pub mod state;
pub mod storage;
mod tasks;
pub mod train;
