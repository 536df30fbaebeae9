//! A prototype is cloned for each component.

use grades::policy::{Decision, FreezePolicy, Observation};
use grades::statistic::StatisticSet;

#[derive(Debug)]
struct Own;

impl FreezePolicy for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::default()
    }

    fn decide(&mut self, _: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}

fn main() {}
