//! The components whose policies are asked.

use crate::freezing::params::ids_of_all;
use crate::parameters::ParamId;
use crate::tracker::FreezeTracker;

/// Returns the positions of the components whose policies are asked.
pub(super) fn watched(tracker: &FreezeTracker) -> Vec<usize> {
    (0..tracker.total()).filter(|index| tracker.is_active(*index)).collect()
}

/// Returns the parameters of those components.
pub(super) fn watched_parameters(tracker: &FreezeTracker) -> Vec<ParamId> {
    ids_of_all(tracker.components(), &watched(tracker))
}
