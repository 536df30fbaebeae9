//! A policy whose name is not kebab-case. A program of its own, because a registry is one per program.

use grades::policy::{
    Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyRegistry,
};
use grades::schema::{Key, Section};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Error, FreezingConfig, submit};

#[test]
fn a_name_that_is_not_kebab_case_is_an_error_that_names_it_and_its_type() {
    let error = PolicyRegistry::linked().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("policy name \"Snake_Case\" of "), "{text}");
    assert!(text.contains("::Snake"), "{text}");
    assert!(text.contains("expected kebab-case"), "{text}");
    assert!(FreezingConfig::from_toml("[freezing]\npolicy = { name = \"x\" }").is_err());
}

#[derive(Debug, Clone)]
struct Snake;

impl FreezePolicy for Snake {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, _: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}

impl PolicyConfig for Snake {
    const NAME: &'static str = "Snake_Case";
    const SUMMARY: &'static str = "freezes nothing";
    const KEYS: &'static [Key] = &[];

    fn from_config(_: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Snake)
    }
}

submit! { PolicyPlugin::of::<Snake>() }
