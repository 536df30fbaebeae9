//! Decoders of every class beside transformers: logits, gradients, answers, saved directories, adapters, templates.

mod adapters;
mod gradients;
pub(crate) mod models;
mod outputs;
mod saved;
mod template;
