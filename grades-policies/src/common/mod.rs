//! Parts that several policies share: moving averages, counts of hits, windows, and their keys.

mod average;
mod estimate;
mod hits;
mod learning_rate;
mod window;

pub(crate) use average::Average;
pub(crate) use estimate::Estimate;
pub(crate) use hits::Hits;
pub(crate) use learning_rate::LearningRate;
pub(crate) use window::{INTERVAL, Length, TENTH, WINDOW, Window};

use grades::policy::{FreezePolicy, Observation};
use grades::schema::{Key, Section};

/// The key of a patience.
pub(crate) const HITS: Key = Key::new("hits", "checks in a row at which it must hold, at least 1 (5)");

/// Reads [`HITS`].
pub(crate) fn hits(section: &mut Section<'_>) -> Option<u64> {
    section.integer_or("hits", 5, "at least 1", |hits| hits >= 1)
}

/// The key of a significance.
pub(crate) const Z: Key =
    Key::new("z", "standard errors that a progress must be above, at least 0; more freezes sooner (1.0)");

/// Reads [`Z`].
pub(crate) fn z(section: &mut Section<'_>) -> Option<f64> {
    section.number_or("z", 1.0, "a number of at least 0", |z| z >= 0.0 && z.is_finite())
}

/// Returns whether every statistic that a policy reads was measured and is finite.
pub(crate) fn all_finite(policy: &dyn FreezePolicy, observation: &Observation<'_>) -> bool {
    policy.statistics().iter().all(|needed| observation.value(needed).is_some_and(f64::is_finite))
}
