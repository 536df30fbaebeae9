//! Which layers are adapted, and how.

mod expressions;
mod lora_config;
mod matching;
mod peft;
mod table;

pub use lora_config::{Bias, Init, LoraConfig, Targets};
pub(crate) use matching::Matcher;
pub(crate) use peft::{read_peft, write_peft};
