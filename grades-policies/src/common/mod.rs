//! What several policies share: averages, counts of hits, the keys for both.

mod average;
mod hits;

pub(crate) use average::Average;
pub(crate) use hits::Hits;

use grades::policy::PolicyBuilder;
use grades::schema::{Key, Section};

/// The key of an average's window.
pub(crate) const WINDOW: Key =
    Key::new("window", "checks that the average reaches over, at least 1 (20, or the run's checks if fewer)");

/// The key of a patience.
pub(crate) const HITS: Key = Key::new("hits", "checks in a row at which it must hold, at least 1 (5)");

/// Reads [`WINDOW`]; one that is longer than the run could never be filled, and the default one is cut to it.
pub(crate) fn window(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<u64> {
    let default = builder.checks().map_or(20, |checks| checks.clamp(1, 20));
    let window = section.integer_or("window", default, "at least 1", |window| window >= 1)?;
    match builder.checks().filter(|checks| window > (*checks).max(1)) {
        Some(checks) => {
            section.problem("window", format!("{window} checks are more than the {checks} that the run has"));
            None
        }
        None => Some(window),
    }
}

/// Reads [`HITS`].
pub(crate) fn hits(section: &mut Section<'_>) -> Option<u64> {
    section.integer_or("hits", 5, "at least 1", |hits| hits >= 1)
}
