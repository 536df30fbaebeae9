//! Models, data and the parts of the `finetune` program.

mod causes;
pub mod cli;
pub mod compare;
pub mod config;
pub mod data;
pub mod records;
pub mod report;
pub mod state;
pub mod storage;
pub mod tensorboard;
pub mod train;
