//! What several policies share: averages, counts of hits, the keys for both.

mod average;
mod hits;

pub(crate) use average::Average;
pub(crate) use hits::Hits;

use grades::PolicyBuilder;
use grades::config::{Key, Section};

/// The key of an average's window.
pub(crate) const WINDOW: Key = Key::new("window", "checks that the average reaches over, at least 1 (20)");

/// The key of a patience.
pub(crate) const HITS: Key = Key::new("hits", "checks in a row at which it must hold, at least 1 (5)");

/// Reads [`WINDOW`]; one that is longer than the run could never be filled.
pub(crate) fn window(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<u64> {
    let window = section.integer_or("window", 20, "at least 1", |window| window >= 1)?;
    match builder.total_steps().filter(|steps| window > *steps) {
        Some(steps) => {
            section.problem("window", format!("{window} checks are more than the {steps} steps of the run"));
            None
        }
        None => Some(window),
    }
}

/// Reads [`HITS`].
pub(crate) fn hits(section: &mut Section<'_>) -> Option<u64> {
    section.integer_or("hits", 5, "at least 1", |hits| hits >= 1)
}
