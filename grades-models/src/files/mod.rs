//! The files of a model directory: `config.json` key by key, the tensors, and what goes with them unchanged.

pub mod atomic;
mod checkpoint;
mod companions;
mod keys;
mod kind;
mod random;
mod sizes;
mod tensors;
mod variables;
mod write;

pub(crate) use checkpoint::Checkpoint;
pub(crate) use companions::Companions;
pub(crate) use keys::Keys;
pub(crate) use kind::{dtype_name, lowest};
pub(crate) use random::draw_normal;
pub(crate) use sizes::Sizes;
pub use tensors::{read_file, write_file};
pub(crate) use variables::variable;
pub(crate) use write::{Entry, save_directory};
