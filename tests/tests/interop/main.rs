//! Models that we save are read by Hugging Face's transformers, which then computes the same logits; adapters go to and
//! from PEFT.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in the functions that those share"
)]

mod browser;
mod decoder;
mod event_files;
mod flops;
mod lora;
mod minilm;
mod python;
#[path = "../../../grades-models/tests/support/tiny.rs"]
mod tiny;
#[path = "../../../grades-models/tests/support/tiny_decoder.rs"]
mod tiny_decoder;
mod tokens;
mod trained;
mod using;

use std::path::{Path, PathBuf};

/// A path from the root of the workspace.
fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}
