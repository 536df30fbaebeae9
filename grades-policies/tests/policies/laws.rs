//! The laws of `grades::testing` on every linked policy, and the policies' keys.

use grades::FreezingConfig;
use grades::component::{Component, ComponentConfig, ComponentKind, ComponentMap, ParameterInfo};
use grades::policy::Cooldown;
use grades::policy::{FreezePolicy, Observation, Peers, PolicyRegistry, Population, StepCosts};
use grades::statistic::GradientSnapshot;
use grades::testing::{policy_laws, sample};
use grades::tracker::{FreezeEvent, FreezeTracker, Transition};
use toml::{Table, Value};

use crate::examples::EXAMPLES;
use crate::support::{build, build_table};

/// Checks the laws on a quarter of the examples, so that tests share the processors.
fn keep_the_laws(quarter: usize) {
    for example in EXAMPLES.iter().skip(quarter).step_by(4) {
        let prototype = build(example).unwrap_or_else(|problems| panic!("{example}\n{problems}"));
        policy_laws(|| prototype.clone()).unwrap_or_else(|broken| panic!("{example}\n{broken}"));
        assert!(!prototype.statistics().is_empty(), "it reads nothing: {example}");
    }
}

#[test]
fn every_example_keeps_the_laws_first_quarter() {
    keep_the_laws(0);
}

#[test]
fn every_example_keeps_the_laws_second_quarter() {
    keep_the_laws(1);
}

#[test]
fn every_example_keeps_the_laws_third_quarter() {
    keep_the_laws(2);
}

#[test]
fn every_example_keeps_the_laws_last_quarter() {
    keep_the_laws(3);
}

/// A table in a table, or in a list of tables.
type Place = (String, Option<usize>);

/// Returns the paths of a table and of all tables in it, lists of tables included.
fn tables(table: &Table) -> Vec<Vec<Place>> {
    let mut paths = vec![Vec::new()];
    for (key, value) in table {
        let list = value.as_array().into_iter().flatten().enumerate();
        let listed = list.map(|(index, value)| (Some(index), value));
        for (index, value) in listed.chain([(None, value)]) {
            let inner = value.as_table().map(tables).unwrap_or_default();
            paths.extend(inner.into_iter().map(|path| [vec![(key.clone(), index)], path].concat()));
        }
    }
    paths
}

fn at<'a>(table: &'a mut Table, path: &[Place]) -> &'a mut Table {
    path.iter().fold(table, |table, (key, index)| {
        let value = &mut table[key];
        let inner = match index {
            Some(index) => &mut value[*index],
            None => value,
        };
        inner.as_table_mut().unwrap()
    })
}

fn dotted(path: &[Place]) -> String {
    let place = |(key, index): &Place| index.map_or(key.clone(), |index| format!("{key}[{index}]"));
    path.iter().map(place).collect::<Vec<_>>().join(".")
}

/// A value that no policy takes.
fn date() -> Value {
    Value::Datetime("2025-09-01".parse().unwrap())
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    for example in EXAMPLES {
        let mut table: Table = example.parse().unwrap();
        table.insert("unheard-of".to_owned(), Value::Integer(1));
        let problems = build_table(&table).unwrap_err();
        let [problem] = problems.as_slice() else { panic!("{example}\n{problems}") };
        assert_eq!(problem.key, "policy.unheard-of", "{example}");
    }
}

#[test]
fn a_child_with_an_unknown_key_is_an_error_with_its_path() {
    for example in EXAMPLES {
        let table: Table = example.parse().unwrap();
        let children = tables(&table)
            .into_iter()
            .filter(|path| !path.is_empty() && at(&mut table.clone(), path).contains_key("name"));
        for path in children {
            let mut wrong = table.clone();
            at(&mut wrong, &path).insert("unheard-of".to_owned(), Value::Integer(1));
            let problems = build_table(&wrong).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{example}\n{problems}") };
            assert_eq!(problem.key, format!("policy.{}.unheard-of", dotted(&path)), "{example}");
        }
    }
}

#[test]
fn every_key_that_is_declared_is_read_and_every_value_checked() {
    for example in EXAMPLES {
        let table: Table = example.parse().unwrap();
        let plugin = PolicyRegistry::linked().unwrap().get(table["name"].as_str().unwrap()).unwrap();
        for key in plugin.keys() {
            let mut wrong = table.clone();
            wrong.insert(key.name.to_owned(), date());
            let problems = build_table(&wrong).map(|_| ()).unwrap_err();
            let expected = format!("policy.{}", key.name);
            assert!(
                problems.as_slice().iter().any(|problem| problem.key == expected),
                "{example}\n{problems}"
            );
        }
    }
}

#[test]
fn the_name_is_kebab_case_and_the_same_everywhere() {
    for example in EXAMPLES {
        let table: Table = example.parse().unwrap();
        let written = table["name"].as_str().unwrap();
        let plugin = PolicyRegistry::linked().unwrap().get(written).unwrap();
        assert!(written == plugin.name() || Some(written) == plugin.alias(), "{written}");
        assert_eq!(build(example).unwrap().name(), plugin.name());
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        assert!(written.split('-').all(word), "{written}");
    }
}

/// Sizes of gradients that are loud, then quiet.
fn quiet_at_last() -> impl Iterator<Item = f64> {
    std::iter::repeat_n(2.0, 40).chain(std::iter::repeat_n(0.01, 60))
}

/// Asks a policy about one of four components that are all alike. Returns at which checks it scores and freezes.
fn ask(policy: &mut dyn FreezePolicy, sizes: impl Iterator<Item = f64>) -> Vec<(bool, bool)> {
    let component = Component::detached("layers.1.it", ComponentKind::Query, Some(1), 2);
    let blocks = [0, 1, 1, 2].map(|layer| Component::detached("one", ComponentKind::Query, Some(layer), 2));
    let costs = StepCosts::by_elements(&blocks);
    let answer = |(step, size)| {
        let samples = [Some(sample(policy.statistics(), size)); 4];
        let own = sample(policy.statistics(), size);
        let observation =
            Observation::new(&component, &own).at(step, 100).among(Population::new(&samples, 0));
        let score = policy.score(&observation);
        let peers =
            score.map(|score| Peers::new(score.measure, &blocks, &[Some(score); 4], &[true; 4], &costs));
        let observation = observation.ranked(score.map(|_| 0)).with_peers(peers.as_ref());
        let decision = policy.decide(&observation);
        (score.is_some(), decision.is_freeze())
    };
    (1..).zip(sizes).map(answer).collect()
}

/// The events of a run with four components, of which the first has its own sizes.
fn events(example: &str, cooldown: Option<Cooldown>, first: impl Fn(f64) -> f64) -> Vec<FreezeEvent> {
    let names = ["0.self_attn.q_proj", "0.mlp.up_proj", "1.self_attn.v_proj", "1.mlp.down_proj"];
    let parameters = names.map(|name| ParameterInfo::new(format!("model.layers.{name}.weight"), [2, 1]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    let policy: Table = example.parse().unwrap();
    let table = Table::from_iter([("policy".to_owned(), Value::Table(policy))]);
    let mut config = FreezingConfig::from_table("freezing", &table).unwrap();
    if let Some(cooldown) = cooldown {
        config = config.with_cooldown(cooldown);
    }
    let mut tracker = FreezeTracker::new(map, &config, 100).unwrap();
    let statistics = tracker.statistics();
    let mut events = Vec::new();
    for (step, size) in (1..).zip(quiet_at_last()) {
        let due = tracker.is_due(step);
        events.extend(tracker.finish_cooling(step));
        if due {
            let samples = [first(size), size, size, size].map(|size| Some(sample(statistics, size)));
            events.extend(tracker.check(&GradientSnapshot::new(step, samples.to_vec())).events);
        }
    }
    events
}

#[test]
fn every_example_freezes_what_is_quiet_for_long() {
    // Otherwise the laws would compare one endless row of `Keep` with another.
    for example in EXAMPLES {
        let answers = ask(&mut *build(example).unwrap(), quiet_at_last());
        let frozen = answers.iter().filter(|(_, freezes)| *freezes).count();
        assert!(0 < frozen && frozen < answers.len(), "{example}\n{frozen}");
        let events = events(example, None, |size| size);
        let components: std::collections::BTreeSet<_> =
            events.iter().filter(|event| event.policy != "deadline").map(|event| event.index).collect();
        assert!(!components.is_empty(), "{example}");
    }
}

#[test]
fn every_example_that_thaws_does() {
    let mut thawing = 0;
    for example in EXAMPLES {
        if build(example).unwrap().thaws() {
            thawing += 1;
            // One that is never quiet keeps the run from ending.
            let events = events(example, Some(Cooldown::Steps(0)), |_| 2.0);
            assert!(events.iter().any(|event| event.event == Transition::Thaw), "{example}\n{events:?}");
        }
    }
    assert!(thawing >= 5, "{thawing}");
}

#[test]
fn every_example_that_scores_is_ranked_by_it() {
    let mut scoring = 0;
    for example in EXAMPLES {
        let table: Table = example.parse().unwrap();
        let answers = ask(&mut *build(example).unwrap(), quiet_at_last().take(60));
        let scored = answers.iter().any(|(scored, _)| *scored);
        let written = toml::to_string(&table).unwrap();
        let compares = ["quota", "payoff", "bottom-up"].iter().any(|name| written.contains(name));
        assert!(compares || !scored, "{example}");
        scoring += usize::from(scored);
    }
    assert!(scoring >= 5, "{scoring}");
}

mod breakers;
