//! The optimizer file: a wrapper's whole state.
//!
//! The file is in the format of safetensors: the tensors under their names, and in the metadata the version, a
//! checksum, and everything that is no tensor as TOML, in which floating-point numbers come back bit by bit.

mod file;
mod header;

pub(crate) use file::{Bytes, copy, read, write};
pub(crate) use header::{FORMAT_VERSION, Header, ParameterHeader};
