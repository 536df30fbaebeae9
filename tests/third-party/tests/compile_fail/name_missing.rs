//! A policy that no configuration could name.

use grades::schema::{Key, Section};
use grades::submit;
use grades::policy::{Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin};
use grades::statistic::StatisticSet;

#[derive(Debug, Clone)]
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

impl PolicyConfig for Own {
    const SUMMARY: &'static str = "freezes nothing";
    const KEYS: &'static [Key] = &[];

    fn from_config(_: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Own)
    }
}

submit! { PolicyPlugin::of::<Own>() }

fn main() {}
