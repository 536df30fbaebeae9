//! Decoders of every class beside transformers: logits, gradients, answers, saved directories.

mod gradients;
mod models;
mod outputs;
mod saved;
