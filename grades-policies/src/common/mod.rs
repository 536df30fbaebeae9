//! Parts that several policies share: moving averages, counts of hits, windows, and their keys.

mod average;
mod hits;
mod window;

pub(crate) use average::Average;
pub(crate) use hits::Hits;
pub(crate) use window::{WINDOW, Window};

use grades::policy::{FreezePolicy, Observation};
use grades::schema::{Key, Section};

/// The key of a patience.
pub(crate) const HITS: Key = Key::new("hits", "checks in a row at which it must hold, at least 1 (5)");

/// Reads [`HITS`].
pub(crate) fn hits(section: &mut Section<'_>) -> Option<u64> {
    section.integer_or("hits", 5, "at least 1", |hits| hits >= 1)
}

/// Returns whether every statistic that a policy reads was measured and is finite.
pub(crate) fn all_finite(policy: &dyn FreezePolicy, observation: &Observation<'_>) -> bool {
    policy.statistics().iter().all(|needed| observation.value(needed).is_some_and(f64::is_finite))
}
