//! The `[distributed]` table.

use grades::schema::field::word;
use grades::schema::{table, words};
use serde::Serialize;

table! {
    /// The memory that the processes of a run divide among themselves.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub struct DistributedConfig = "distributed" {
        /// The part of which each process has a share instead of all of it; the results are the same.
        shard: Shard = word(Shard::None),
    }
}

words! {
    /// The part of the memory that is divided over processes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Shard: "shard" {
        /// None: every process has all of it.
        None = "none",
        /// Moments, master copies of weights, and summed gradients.
        Optimizer = "optimizer",
    }
}
