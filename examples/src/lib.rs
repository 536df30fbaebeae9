//! Models, data and the parts of the `finetune` program.

mod causes;
pub mod cli;
pub mod compare;
pub mod config;
pub mod data;
pub mod flops;
pub mod fsx;
pub mod model;
pub mod report;
pub mod tensorboard;
pub mod train;
