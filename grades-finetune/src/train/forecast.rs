//! Describes the freezes of a run before its first step.

use grades::tracker::FreezeTracker;

/// Describes the freezes that a budget plans, or says that the run is too short for its policy; `None` when neither is so.
pub(super) fn forecast(tracker: &FreezeTracker, warmup_steps: u64) -> Option<String> {
    if let Some(plan) = tracker.budget_plan() {
        return Some(format!("freezing.budget: {plan}"));
    }
    let (first, deadline) = tracker.first_decision(warmup_steps);
    (tracker.cools() && first >= deadline).then(|| {
        format!(
            "the run is too short for its policy to end it sooner: from step {deadline} of {} on all components cool, so that \
             they are frozen in time, and the policy decides from step {first} on",
            tracker.total_steps()
        )
    })
}
