//! A second name that is another type's name. A program of its own, because a registry is one per program.

use grades::policy::{
    Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyRegistry,
};
use grades::schema::{Key, Section};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Error, FreezingConfig, submit};

#[test]
fn a_second_name_that_is_anothers_name_is_an_error_that_names_both_types() {
    // More than once: the registry is collected on the first call only.
    for _ in 0..2 {
        match PolicyRegistry::linked() {
            Err(Error::DuplicatePolicy { name, first, second }) => {
                assert_eq!(name, "solo");
                // In the order of their own names, whatever the order in which they were linked.
                assert!(first.ends_with("::Duet") && second.ends_with("::Solo"), "{first}, {second}");
            }
            other => panic!("{other:?}"),
        }
    }
    let document = "[freezing]\npolicy = { name = \"duet\" }";
    let text = FreezingConfig::from_toml(document).unwrap_err().to_string();
    assert!(text.starts_with("policy name \"solo\" is registered twice: by "), "{text}");
}

macro_rules! policy {
    ($type:ident, $name:literal, $plugin:expr) => {
        #[derive(Debug, Clone)]
        struct $type;

        impl FreezePolicy for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn statistics(&self) -> StatisticSet {
                StatisticSet::of([Statistic::GradL1])
            }

            fn decide(&mut self, _: &Observation<'_>) -> Decision {
                Decision::Keep
            }
        }

        impl PolicyConfig for $type {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "freezes nothing";
            const KEYS: &'static [Key] = &[];

            fn from_config(_: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
                Some($type)
            }
        }

        submit! { $plugin }
    };
}

policy!(Solo, "solo", PolicyPlugin::of::<Solo>());
policy!(Duet, "duet", PolicyPlugin::of::<Duet>().with_alias("solo"));
