//! The history of the activation cache.

use serde::{Deserialize, Serialize};

/// A stretch of steps in which batches begin above the same number of frozen blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheEra {
    /// The steps before it.
    pub step: u64,
    /// The blocks whose outputs are stored.
    pub blocks: usize,
}
