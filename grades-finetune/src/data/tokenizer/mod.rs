//! Tokenizers, as transformers loads them from a model directory.

mod class;
mod clock;
mod declared;
mod json_file;
mod library;
mod limits;
mod parts;
mod pretrained;
mod sentences;

pub(super) use clock::Clocked;
pub(crate) use library::is_guarded;
pub(super) use library::quiet;
pub(super) use pretrained::{Pretrained, special_tokens};
pub use sentences::{Limits, Tokenizer};
