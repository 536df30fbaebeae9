//! How often in a row something held.

use serde::{Deserialize, Serialize};

/// How often in a row something held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hits {
    seen: u64,
}

impl Hits {
    /// Counts a check; true once it has held `needed` times in a row.
    pub(crate) fn count(&mut self, held: bool, needed: u64) -> bool {
        self.seen = if held { self.seen.saturating_add(1).min(needed) } else { 0 };
        held && self.seen == needed
    }
}
