//! Returns freed memory from libtorch's cache to the device.

use crate::error::Result;
use crate::torch::empty_cache;

/// The memory that freezes released and that libtorch's allocator still caches.
#[derive(Debug)]
pub(super) struct Reclaim {
    /// The share of the allocated memory above which the cache is emptied.
    share: f64,
    /// Bytes released since the cache was last emptied.
    released: u64,
}

impl Reclaim {
    pub(super) fn new(share: f64) -> Self {
        Self { share, released: 0 }
    }

    /// Records a freeze that changed the allocated bytes, and empties the cache once enough was released.
    pub(super) fn record(&mut self, before: u64, after: u64) -> Result<()> {
        self.released += before.saturating_sub(after);
        if self.released as f64 > self.share * before as f64 {
            self.released = 0;
            empty_cache()?;
        }
        Ok(())
    }
}
