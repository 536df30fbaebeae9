//! The files of a model directory: `config.json` key by key, the tensors, and what goes with them unchanged.

mod checkpoint;
mod companions;
mod keys;
mod kind;
mod random;
mod sizes;
mod tensors;
mod variables;
mod write;

pub(super) use checkpoint::Checkpoint;
pub(super) use companions::Companions;
pub(super) use keys::Keys;
pub(super) use kind::{dtype_name, lowest};
pub(super) use random::draw_normal;
pub(super) use sizes::Sizes;
pub(crate) use tensors::{read_file, write_file};
pub(super) use variables::variable;
pub(super) use write::{Entry, save_directory};
