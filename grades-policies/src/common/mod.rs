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
pub(crate) use window::Window;

use grades::policy::{FreezePolicy, Observation};
use grades::schema::Key;
use grades::schema::field::{AT_LEAST_ZERO, Field, Range, count, number};

/// The key of the policy that another one asks.
pub(crate) const POLICY: Key = Key::new("policy", "the other policy's table (required)");

/// The shares between 0 and 1, without the two.
pub(crate) const BETWEEN: Range = Range::new("a share between 0 and 1", |share| share > 0.0 && share < 1.0);

/// Describes a patience.
pub(crate) fn hits() -> Field<u64> {
    count(5, 1)
}

/// Describes a significance.
pub(crate) fn z() -> Field<f64> {
    number(1.0, AT_LEAST_ZERO)
}

/// Returns whether every statistic that a policy reads was measured and is finite.
pub(crate) fn all_finite(policy: &dyn FreezePolicy, observation: &Observation<'_>) -> bool {
    policy.statistics().iter().all(|needed| observation.value(needed).is_some_and(f64::is_finite))
}
