//! The key `preset`.

use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
use grades::statistic::{ComponentSample, GradientSnapshot, Statistic, StatisticSet};
use grades::tracker::FreezeTracker;
use grades::{Error, FreezingConfig};

fn config(keys: &str) -> FreezingConfig {
    FreezingConfig::from_toml(&format!("[freezing]\n{keys}")).unwrap()
}

/// The problems of a table, as one text.
fn problems(keys: &str) -> String {
    match FreezingConfig::from_toml(&format!("[freezing]\n{keys}")) {
        Err(Error::Config(problems)) => problems.to_string(),
        other => panic!("{keys}\ngave {other:?}"),
    }
}

/// Trackers of two matrices over 100 steps.
fn tracker(keys: &str) -> FreezeTracker {
    let parameters = ["q_proj", "k_proj"]
        .map(|name| ParameterInfo::new(format!("model.layers.0.self_attn.{name}.weight"), [2, 2]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    FreezeTracker::new(map, &config(keys), 100).unwrap()
}

/// The step after which the first of two matrices freezes when its statistic is `value` at all checks; the other one's
/// is large.
fn freezes_at(keys: &str, statistic: Statistic, value: f64) -> Option<u64> {
    let mut tracker = tracker(keys);
    assert_eq!(tracker.statistics(), StatisticSet::of([statistic]), "{keys}");
    for step in 1..=100 {
        assert!(tracker.is_due(step), "{keys}");
        let sample = |value| Some(ComponentSample::new(4).with(statistic, value));
        tracker.check(&GradientSnapshot::new(step, vec![sample(value), sample(1e9)]));
        assert!(!tracker.should_stop(), "{keys}: half is not all");
    }
    assert!(!tracker.is_frozen(1), "{keys}");
    tracker.frozen_at(0)
}

#[test]
fn a_preset_is_what_was_published() {
    use Statistic::{GradDeltaL1, GradL1, WeightDeltaL1};
    struct Case {
        keys: &'static str,
        statistic: Statistic,
        tau: f64,
        step: u64,
    }
    let cases = [
        Case {
            keys: "preset = \"paper-v1\"\npolicy = { tau = 2.404 }",
            statistic: GradL1,
            tau: 2.404,
            step: 56,
        },
        Case {
            keys: "preset = \"paper-v3\"\npolicy = { tau = 2.404 }",
            statistic: GradDeltaL1,
            tau: 2.404,
            step: 56,
        },
        Case { keys: "preset = \"official\"", statistic: WeightDeltaL1, tau: 1e-4, step: 31 },
    ];
    for Case { keys, statistic, tau, step } in cases {
        assert_eq!(freezes_at(keys, statistic, 0.999 * tau), Some(step), "{keys}");
        assert_eq!(freezes_at(keys, statistic, tau), None, "{keys}: at tau is not below it");
        assert!(!config(keys).cools(), "{keys}");
        assert!(!tracker(keys).thaws(), "{keys}");
    }
}

#[test]
fn own_keys_lie_over_those_of_the_preset() {
    let keys = "preset = \"official\"\nmetric = \"grad-rms\"\ngrace = 0.1\ncheck_every = 4\ncooldown = 3\n\
                policy = { tau = 0.5 }";
    let mut tracker = tracker(keys);
    assert_eq!(tracker.statistics(), StatisticSet::of([Statistic::GradRms]));
    assert_eq!((tracker.grace_steps(), tracker.is_due(3), tracker.is_due(4)), (10, false, true));
    assert!(tracker.cools());
    for step in [8, 12] {
        let sample = Some(ComponentSample::from_gradient(&[0.49; 4]));
        tracker.check(&GradientSnapshot::new(step, vec![sample, sample]));
    }
    assert_eq!(tracker.cooling(), 2);
    let half = "preset = \"paper-v1\"\nstop_at = 0.5\ngrace = 0\npolicy = { tau = 1 }";
    let mut tracker = self::tracker(half);
    for step in 1..=2 {
        let sample = |value| Some(ComponentSample::new(4).with(Statistic::GradL1, value));
        tracker.check(&GradientSnapshot::new(step, vec![sample(0.5), sample(2.0)]));
    }
    assert!(tracker.should_stop());
}

#[test]
fn a_policy_of_the_same_name_takes_the_presets_keys_and_another_takes_none() {
    let statistic = Statistic::WeightDeltaL1;
    let same = "preset = \"official\"\npolicy = { name = \"fixed-threshold\" }";
    assert_eq!(freezes_at(same, statistic, 0.9e-4), Some(31));
    // A tau would be a key that it does not know.
    let other = "preset = \"official\"\npolicy = { name = \"relative-to-peak\" }";
    assert_eq!(tracker(other).grace_steps(), 30);
    let patient = "preset = \"official\"\npolicy = { name = \"patience\", policy = { name = \
                   \"fixed-threshold\" } }";
    assert_eq!(problems(patient), "freezing.policy.policy.tau: is missing; expected a number above 0");
}

#[test]
fn the_cooldown_of_a_preset_stays_when_another_policy_is_named() {
    let policy = "policy = { name = \"signal-fraction\" }";
    assert!(config(policy).cools());
    assert!(!config(&format!("preset = \"paper-v1\"\n{policy}")).cools());
    assert!(config(&format!("preset = \"paper-v1\"\ncooldown = {{ share = 1.0 }}\n{policy}")).cools());
}

#[test]
fn the_papers_threshold_must_be_given() {
    for preset in ["paper-v1", "paper-v3"] {
        let missing = "freezing.policy.tau: is missing; expected a number above 0";
        for policy in ["", "policy = {}", "policy = { name = \"fixed-threshold\" }"] {
            assert_eq!(problems(&format!("preset = \"{preset}\"\n{policy}")), missing, "{preset}, {policy}");
        }
    }
}

#[test]
fn a_preset_that_is_not_known_is_the_only_problem() {
    let known = "known: careful, balanced, fast, paper-v1, paper-v3, official";
    let cases = [
        ("\"paper-v2\"", format!("unknown preset \"paper-v2\" (did you mean \"paper-v1\"?); {known}")),
        ("\"oficial\"", format!("unknown preset \"oficial\" (did you mean \"official\"?); {known}")),
        ("\"grades\"", format!("unknown preset \"grades\"; {known}")),
        ("3", "expected a string, found 3".to_owned()),
    ];
    for (preset, message) in cases {
        for policy in ["", "policy = { tau = 1 }", "policy = { name = \"signal-fraction\" }"] {
            assert_eq!(
                problems(&format!("preset = {preset}\n{policy}")),
                format!("freezing.preset: {message}")
            );
        }
    }
}

#[test]
fn own_keys_are_checked_beside_a_preset() {
    let keys = "preset = \"offical\"\ngrace = 2\npolicy = { tau = 0, tua = 1 }";
    let expected = "4 problems:\n  \
        freezing.preset: unknown preset \"offical\" (did you mean \"official\"?); known: careful, balanced, \
         fast, paper-v1, paper-v3, \
        official\n  \
        freezing.grace: expected a share from 0 to 1, found 2\n  \
        freezing.policy.tua: unknown key (did you mean \"tau\"?); known: tau, metric\n  \
        freezing.policy.tau: expected a number above 0, found 0";
    assert_eq!(problems(keys), expected);
    assert_eq!(problems("preset = \"official\"\npolicy = 3"), "freezing.policy: expected a table, found 3");
    let text = problems("preest = \"official\"\npolicy = { name = \"fixed-threshold\", tau = 1 }");
    assert!(text.starts_with("freezing.preest: unknown key (did you mean \"preset\"?); known: "), "{text}");
}

#[test]
fn the_examples_of_the_documentation_are_configurations() {
    let blocks = include_str!("../../../docs/compatibility.md").split("```toml\n").skip(1);
    let examples: Vec<_> = blocks.map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 4);
    for example in examples {
        FreezingConfig::from_toml(example).unwrap_or_else(|error| panic!("{example}\n{error}"));
    }
}

#[test]
fn a_threshold_for_the_vision_encoder_is_a_rule_by_name() {
    let document = include_str!("../../../docs/compatibility.md").rsplit("```toml\n").next().unwrap();
    let config = FreezingConfig::from_toml(document.split("```").next().unwrap()).unwrap();
    let names = [
        "model.layers.0.self_attn.q_proj.weight",
        "visual.blocks.0.attn.qkv.weight",
        "visual.blocks.0.attn.proj.weight",
    ];
    let parameters = names.map(|name| ParameterInfo::new(name, [2, 2]));
    let map = ComponentMap::new(&parameters, config.components()).unwrap();
    let mut tracker = FreezeTracker::new(map, &config, 100).unwrap();
    let check = |tracker: &mut FreezeTracker, step, value| {
        let sample = ComponentSample::new(4).with(Statistic::WeightDeltaL1, value);
        let events = tracker.check(&GradientSnapshot::new(step, vec![Some(sample); 3])).events;
        events.into_iter().map(|event| event.component).collect::<Vec<_>>()
    };
    assert_eq!(check(&mut tracker, 30, 1.0), [""; 0]);
    assert_eq!(check(&mut tracker, 31, 5e-5), ["model.layers.0.self_attn.q_proj"]);
    assert_eq!(check(&mut tracker, 32, 5e-6), ["visual.blocks.0.attn.proj", "visual.blocks.0.attn.qkv"]);
}
