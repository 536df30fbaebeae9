//! The laws that every policy keeps, on this crate's policy and on one that forgets its history.

use grades::policy::{Decision, FreezePolicy, Observation};
use grades::statistic::StatisticSet;
use grades::testing::{BrokenLaws, policy_laws};
use grades_third_party::Falling;

#[test]
fn the_policy_keeps_the_laws() -> Result<(), BrokenLaws> {
    policy_laws(|| Box::new(Falling::new(2)))
}

/// Has a history, but neither `state` nor `restore`.
#[derive(Debug, Clone)]
struct Forgetful(Falling);

impl FreezePolicy for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }

    fn statistics(&self) -> StatisticSet {
        self.0.statistics()
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        self.0.decide(observation)
    }
}

#[test]
fn a_policy_with_a_history_and_no_state_breaks_the_law_of_resuming() {
    let broken = policy_laws(|| Box::new(Forgetful(Falling::new(2)))).unwrap_err();
    let names: Vec<_> = broken.names().collect();
    assert_eq!(names, ["resume", "tracked-resume"], "{broken}");
    assert!(broken.to_string().contains("implements `state` and `restore`"), "{broken}");
}
