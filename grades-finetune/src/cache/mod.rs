//! The activation cache: the outputs of the frozen lowest blocks, stored for each row of the data.
//!
//! Once nothing in the embeddings and the lowest blocks trains, their output for a row is the same in every batch.
//! [`ActivationCache`] stores it when the row is first computed; later batches and evaluations with that row begin above
//! these blocks. Frozen blocks run without dropout from then on, whether their output is stored or not, so that what is stored
//! changes no more than roundings.
//!
//! `slots.rs` has the bytes, in main memory and beyond its limit in a file; `rows.rs` makes batches of them and computes what
//! is missing; `activation_cache.rs` decides when and from which block on.

mod activation_cache;
mod rows;
mod slots;

pub(crate) use activation_cache::{ActivationCache, CacheBytes, CacheLayout, RowSet};
