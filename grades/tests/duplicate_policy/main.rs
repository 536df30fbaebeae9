//! Two types under one name. A program of its own, because a registry is one per program.

use grades::policy::{
    Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyRegistry,
};
use grades::schema::{Key, Section};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Error, FreezingConfig, submit};

#[test]
fn two_policies_of_one_name_are_an_error_that_names_both() {
    // More than once: the registry is collected on the first call only.
    for _ in 0..2 {
        match PolicyRegistry::linked() {
            Err(Error::DuplicatePolicy { name, first, second }) => {
                assert_eq!(name, "twin");
                assert!(first.ends_with("::Elder") && second.ends_with("::Younger"), "{first}, {second}");
            }
            other => panic!("{other:?}"),
        }
    }
    let error = PolicyRegistry::linked().unwrap_err().to_string();
    assert!(error.starts_with("policy name \"twin\" is registered twice: by "), "{error}");
}

#[test]
fn no_configuration_is_read_then_whichever_policy_it_names() {
    for name in ["twin", "other"] {
        let document = format!("[freezing]\npolicy = {{ name = \"{name}\" }}");
        assert!(matches!(FreezingConfig::from_toml(&document), Err(Error::DuplicatePolicy { .. })));
    }
}

macro_rules! policy {
    ($type:ident, $name:literal) => {
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

        submit! { PolicyPlugin::of::<$type>() }
    };
}

policy!(Younger, "twin");
policy!(Other, "other");
policy!(Elder, "twin");
