//! The `[freezing]` table: every problem found, all at once, each with its full path.

use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
use grades::policy::Cooldown;
use grades::policy::PolicyRegistry;
use grades::schema::{Key, Section, nearest};
use grades::statistic::{Statistic, StatisticSet};
use grades::tracker::FreezeTracker;
use grades::{Error, FreezingConfig, Problems};

use crate::policies::Below;

const MINIMAL: &str = "[freezing]\npolicy = { name = \"below\", tau = 1.0 }\n";

fn problems(document: &str) -> Problems {
    match FreezingConfig::from_toml(document) {
        Err(Error::Config(problems)) => problems,
        other => panic!("{document}\ngave {other:?}"),
    }
}

fn problem(document: &str) -> String {
    let problems = problems(document);
    assert_eq!(problems.as_slice().len(), 1, "{document}\ngave {problems}");
    problems.to_string()
}

fn keys(problems: &Problems) -> Vec<&str> {
    problems.as_slice().iter().map(|problem| problem.key.as_str()).collect()
}

/// A tracker of one query projection.
fn tracker(config: &FreezingConfig, total_steps: u64) -> Result<FreezeTracker, Error> {
    let query = ParameterInfo::new("model.layers.0.self_attn.q_proj.weight", [2, 2]);
    let map = ComponentMap::new(&[query], &ComponentConfig::default()).unwrap();
    FreezeTracker::new(map, config, total_steps)
}

#[test]
fn all_problems_of_a_file_are_reported_at_once_with_their_full_paths() {
    let found = problems(
        r#"
        [freezing]
        metric = "grad-11"
        grace = 1.5
        check_every = 0
        stop_at = 0
        chek_every = 3

        [freezing.policy]
        name = "nested"
        count = 0
        cuont = 1

        [freezing.policy.policy]
        name = "below"
        tau = -1

        [freezing.components]
        layout = "lama"
        track = ["atention", "mlp"]
        exclude = ["(", "fine"]
        excludes = []

        [[freezing.components.patterns]]
        match = "fine"
        kind = "up"

        [[freezing.components.patterns]]
        match = "["
        kind = "querry"
        kinds = 1
        "#,
    );
    assert_eq!(
        keys(&found),
        [
            "freezing.chek_every",
            "freezing.metric",
            "freezing.grace",
            "freezing.check_every",
            "freezing.stop_at",
            "freezing.components.excludes",
            "freezing.components.layout",
            "freezing.components.track",
            "freezing.components.exclude",
            "freezing.components.patterns[1].kinds",
            "freezing.components.patterns[1].kind",
            "freezing.components.patterns[1].match",
            "freezing.policy.cuont",
            "freezing.policy.count",
            "freezing.policy.policy.tau",
        ],
        "{found}"
    );
    let text = found.to_string();
    assert!(text.starts_with("15 problems:\n  freezing.chek_every: unknown key"), "{text}");
}

#[test]
fn the_nearest_known_name_is_suggested() {
    let cases = [
        (
            "[freezing]\npolicy = { name = \"below\", tau = 1 }\ngraze = 0.1",
            "freezing.graze: unknown key (did you mean \"grace\"?); known: metric, grace, check_every, stop_at, ",
        ),
        (
            "[freezing]\npolicy = { name = \"below\", tua = 1, tau = 1 }",
            "freezing.policy.tua: unknown key (did you mean \"tau\"?); known: tau, metric",
        ),
        (
            "[freezing]\npolicy = { name = \"bellow\", tau = 1 }",
            "freezing.policy.name: no policy \"bellow\" is linked (did you mean \"below\"?); linked policies: below, \
             both, nested, pair, planned, silent. ",
        ),
        (
            "[freezing]\npolicy = { name = \"below\", tau = 1 }\nmetric = \"grad_l1\"",
            "freezing.metric: unknown statistic \"grad_l1\" (did you mean \"grad-l1\"?); known: grad-l1, ",
        ),
        (
            "[freezing]\npolicy = { name = \"below\", tau = 1 }\ncomponents = { layout = \"brt\" }",
            "freezing.components.layout: unknown layout \"brt\" (did you mean \"bert\"?); known: llama, phi3, gpt2, \
             bert, vit, auto, any, none",
        ),
        (
            "[freezing]\npolicy = { name = \"below\", tau = 1 }\ncomponents = { track = [\"mpl\"] }",
            "freezing.components.track: unknown component kind \"mpl\" (did you mean \"mlp\"?); known: query, ",
        ),
        (
            "[freezing]\npolicy = { name = \"below\", tau = 1 }\n\
             components = { patterns = [{ match = \"a\", kind = \"querry\" }] }",
            "freezing.components.patterns[0].kind: unknown component kind \"querry\" (did you mean \"query\"?)",
        ),
    ];
    for (document, expected) in cases {
        let text = problem(document);
        assert!(text.starts_with(expected), "\n{text}\nshould start with\n{expected}");
    }
}

#[test]
fn nothing_is_suggested_for_a_name_unlike_any_other() {
    let text = problem(&format!("{MINIMAL}temperature = 1"));
    assert!(text.starts_with("freezing.temperature: unknown key; known: "), "{text}");
    assert_eq!(nearest("temperature", ["grace", "metric"]), None);
    assert_eq!(nearest("grcae", ["metric", "grace"]), Some("grace"));
    // Of two as near, the first by name, whatever the order in which they come.
    assert_eq!(nearest("bat", ["cat", "bad"]), Some("bad"));
    assert_eq!(nearest("bat", ["bad", "cat"]), Some("bad"));
}

#[test]
fn a_threshold_must_be_a_finite_number_above_0() {
    for tau in ["nan", "-nan", "inf", "-inf", "0", "0.0", "-0.0", "-1", "-1e-9", "\"1\"", "true", "[1]"] {
        let text = problem(&format!("[freezing]\npolicy = {{ name = \"below\", tau = {tau} }}"));
        assert!(text.starts_with("freezing.policy.tau: expected a number above 0, found "), "{tau}: {text}");
    }
    for tau in ["1", "1e-300", "2.5"] {
        FreezingConfig::from_toml(&format!("[freezing]\npolicy = {{ name = \"below\", tau = {tau} }}"))
            .unwrap();
    }
}

#[test]
fn values_out_of_range_are_shown_with_what_was_expected() {
    struct Case {
        key: &'static str,
        wrong: &'static [&'static str],
        right: &'static [&'static str],
        expected: &'static str,
    }
    let cases = [
        Case {
            key: "grace",
            wrong: &["-0.1", "1.0000001", "2", "-1", "nan", "inf", "-inf", "\"0.5\"", "false"],
            right: &["0", "0.0", "0.55", "1", "1.0"],
            expected: "a share from 0 to 1",
        },
        Case {
            key: "check_every",
            wrong: &["0", "-1", "1.0", "2.5", "nan", "\"1\"", "[1]"],
            right: &["1", "7", "9223372036854775807"],
            expected: "a whole number, at least 1",
        },
        Case {
            key: "stop_at",
            wrong: &["0", "0.0", "-0.5", "1.01", "2", "nan", "inf", "\"all\""],
            right: &["1", "1.0", "0.5", "1e-9"],
            expected: "a share above 0, up to 1",
        },
    ];
    for Case { key, wrong, right, expected } in cases {
        for value in wrong {
            let text = problem(&format!("{MINIMAL}{key} = {value}"));
            assert_eq!(text, format!("freezing.{key}: expected {expected}, found {value}"));
        }
        for value in right {
            FreezingConfig::from_toml(&format!("{MINIMAL}{key} = {value}")).unwrap();
        }
    }
}

#[test]
fn a_policy_must_be_named_and_the_default_one_be_linked() {
    let missing = "is missing; expected the table of a policy, such as { name = \"…\" }";
    let text = problem("[freezing]\n");
    let start = "freezing.policy.name: no policy \"signal-fraction\" is linked; linked policies: below";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(problem("[freezing]\npolicy = 3"), "freezing.policy: expected a table, found 3");
    let linked = "linked policies: below, both, nested, pair, planned, silent";
    assert_eq!(problem("[freezing.policy]\n"), format!("freezing.policy.name: is missing; {linked}"));
    assert_eq!(problem("[freezing.policy]\nname = 3"), "freezing.policy.name: expected a string, found 3");
    let text = problem("[freezing.policy]\nname = \"nested\"");
    assert_eq!(text, format!("freezing.policy.policy: {missing}"));
}

#[test]
fn a_required_key_that_is_missing_is_named_with_what_is_expected() {
    let text = problem("[freezing]\npolicy = { name = \"below\" }");
    assert_eq!(text, "freezing.policy.tau: is missing; expected a number above 0");
    let text = problem(&format!("{MINIMAL}components = {{ patterns = [{{ kind = \"up\" }}] }}"));
    assert_eq!(text, "freezing.components.patterns[0].match: is missing; expected a string");
}

#[test]
fn a_problem_of_a_childs_child_has_the_full_path() {
    let document = "[freezing.policy]\nname = \"nested\"\n[freezing.policy.policy]\nname = \"nested\"\n\
                    [freezing.policy.policy.policy]\nname = \"below\"\ntau = 0\nta = 1";
    assert_eq!(
        keys(&problems(document)),
        ["freezing.policy.policy.policy.ta", "freezing.policy.policy.policy.tau"]
    );
}

#[test]
fn what_is_no_toml_is_reported_with_its_line() {
    let text = problem("[freezing]\ngrace = = 1\n");
    assert!(text.starts_with("not TOML: "), "{text}");
    assert!(text.contains("line 2"), "{text}");
    let text = problem(&format!("{MINIMAL}grace = 0.1\ngrace = 0.2\n"));
    assert!(text.starts_with("not TOML: ") && text.contains("line 4"), "{text}");
}

#[test]
fn the_table_must_be_there_and_be_a_table() {
    assert_eq!(problem(""), "freezing: the table is missing");
    assert_eq!(problem("[training]\nlr = 1"), "freezing: the table is missing");
    assert_eq!(problem("freezing = 3"), "freezing: expected a table, found 3");
    let text = problem("[[freezing]]\ngrace = 1");
    assert!(text.starts_with("freezing: expected a table, found ["), "{text}");
}

#[test]
fn other_tables_are_not_looked_at() {
    FreezingConfig::from_toml(&format!("[training]\ngrace = -1\n{MINIMAL}[model]\npolicy = 1\n")).unwrap();
}

#[test]
fn tables_of_the_wrong_form_are_named() {
    let cases = [
        ("components = 1", "freezing.components: expected a table, found 1"),
        (
            "components = { track = \"mlp\" }",
            "freezing.components.track: expected a list of strings, found \"mlp\"",
        ),
        ("components = { track = [1] }", "freezing.components.track: expected a list of strings, found [1]"),
        ("components = { track = [] }", "freezing.components.track: is empty: nothing could freeze"),
        ("components = { layout = 1 }", "freezing.components.layout: expected a string, found 1"),
        ("components = { patterns = 1 }", "freezing.components.patterns: expected a list of tables, found 1"),
        (
            "components = { patterns = [1] }",
            "freezing.components.patterns: expected a list of tables, found [1]",
        ),
        ("metric = 1", "freezing.metric: expected a string, found 1"),
    ];
    for (line, expected) in cases {
        assert_eq!(problem(&format!("{MINIMAL}{line}")), expected);
    }
}

#[test]
fn a_pattern_that_is_no_regular_expression_is_shown() {
    let text = problem(&format!("{MINIMAL}components = {{ exclude = ['a(b'] }}"));
    assert!(text.starts_with("freezing.components.exclude: \"a(b\": regex parse error"), "{text}");
    // Wrapped in a group it would be one.
    let text = problem(&format!("{MINIMAL}components = {{ exclude = ['a)|(b'] }}"));
    assert!(text.starts_with("freezing.components.exclude: \"a)|(b\": regex parse error"), "{text}");
}

#[test]
fn a_table_may_stand_anywhere_and_its_paths_say_where() {
    let table: toml::Table = "policy = { name = \"nested\", policy = { name = \"below\" } }".parse().unwrap();
    let error = FreezingConfig::from_table("run[2].freezing", &table).unwrap_err();
    assert_eq!(error.to_string(), "run[2].freezing.policy.policy.tau: is missing; expected a number above 0");

    let mut problems = Problems::of("run.lr", "is missing");
    FreezingConfig::read("freezing", &table, &mut problems).unwrap();
    assert_eq!(keys(&problems), ["run.lr", "freezing.policy.policy.tau"]);
}

#[test]
fn a_cooldown_is_a_number_of_steps_or_a_share() {
    let cools = |value: &str| {
        let config = FreezingConfig::from_toml(&format!("{MINIMAL}cooldown = {value}")).unwrap();
        let cools = config.cools();
        assert_eq!(tracker(&config, 100).unwrap().cools(), cools);
        cools
    };
    for value in ["80", "1", "9223372036854775807", "{ share = 1.0 }", "{ share = 2 }", "{ share = 1e-3 }"] {
        assert!(cools(value), "{value}");
    }
    for value in ["0", "{ share = 0.0 }", "{ share = 0 }", "{ share = -0.0 }"] {
        assert!(!cools(value), "{value}");
    }
    assert!(!FreezingConfig::from_toml(MINIMAL).unwrap().cools(), "the policy's own is none");
    let wrong = [
        "-1",
        "80.0",
        "nan",
        "\"80\"",
        "true",
        "[80]",
        "{ }",
        "{ share = -0.1 }",
        "{ share = nan }",
        "{ share = inf }",
        "{ share = \"1\" }",
        "{ steps = 80 }",
        "{ share = 1.0, steps = 80 }",
    ];
    for value in wrong {
        let text = problem(&format!("{MINIMAL}cooldown = {value}"));
        let expected =
            "freezing.cooldown: expected a number of steps, or { share = S } with S of at least 0, found ";
        assert!(text.starts_with(expected), "{value}: {text}");
    }
}

#[test]
fn a_cooldown_made_in_code_is_checked_when_the_run_begins() {
    for share in [f64::NAN, f64::INFINITY, -0.5] {
        let config = FreezingConfig::new(Below::new(1.0)).with_cooldown(Cooldown::Share { share });
        let text = tracker(&config, 10).unwrap_err().to_string();
        assert!(text.starts_with("cooldown: expected a number of steps, or { share = S }"), "{text}");
    }
}

#[test]
fn a_list_of_children_must_be_one_of_tables_and_hold_one_at_least() {
    let problem = |policies: &str| {
        problem(&format!("[freezing]\npolicy = {{ name = \"both\", policies = {policies} }}"))
    };
    assert_eq!(problem("[]"), "freezing.policy.policies: is empty; expected at least one policy's table");
    for (found, policies) in [("1", "1"), ("[1]", "[1]"), ("{ name = \"below\" }", "{ name = \"below\" }")] {
        let expected = format!("freezing.policy.policies: expected a list of tables, found {found}");
        assert_eq!(problem(policies), expected);
    }
    let text = problem("[{ name = \"below\", tau = 1 }, { name = \"below\" }]");
    assert_eq!(text, "freezing.policy.policies[1].tau: is missing; expected a number above 0");
    let text = self::problem("[freezing]\npolicy = { name = \"both\" }");
    assert_eq!(text, "freezing.policy.policies: is missing; expected a list of tables");
    let all =
        problems("[freezing]\npolicy = { name = \"both\", policies = [{ name = \"bolow\" }, { nam = 1 }] }");
    assert_eq!(keys(&all), ["freezing.policy.policies[0].name", "freezing.policy.policies[1].name"]);
}

#[test]
fn a_configuration_made_in_code_is_checked_when_the_run_begins() {
    let config = FreezingConfig::new(Below::new(1.0));
    tracker(&config, 1).unwrap();
    let wrong = |grace, check_every, stop_at, total_steps| {
        let config = FreezingConfig::new(Below::new(1.0));
        match tracker(
            &config.with_grace(grace).with_check_every(check_every).with_stop_at(stop_at),
            total_steps,
        ) {
            Err(Error::Config(problems)) => problems.to_string(),
            other => panic!("{other:?}"),
        }
    };
    for grace in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        assert_eq!(wrong(grace, 1, 1.0, 9), format!("grace: expected a share from 0 to 1, found {grace}"));
    }
    for stop_at in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1.1] {
        assert_eq!(
            wrong(0.0, 1, stop_at, 9),
            format!("stop_at: expected a share above 0, up to 1, found {stop_at}")
        );
    }
    assert_eq!(wrong(0.0, 0, 1.0, 9), "check_every: expected at least 1, found 0");
    assert_eq!(wrong(0.0, 1, 1.0, 0), "total_steps: expected at least 1 optimizer step, found 0");
    let all = wrong(f64::NAN, 0, f64::NAN, 0);
    assert!(all.starts_with("4 problems:\n  grace: "), "{all}");
}

#[test]
fn a_policy_learns_the_number_of_steps_when_the_run_begins() {
    let config =
        FreezingConfig::from_toml("[freezing]\npolicy = { name = \"planned\", needs = 20 }").unwrap();
    tracker(&config, 20).unwrap();
    let error = tracker(&config, 19).unwrap_err();
    assert_eq!(error.to_string(), "freezing.policy.needs: 20 steps, but the run has 19");
}

#[test]
fn the_metric_is_that_of_the_run_unless_the_policy_names_its_own() {
    struct Case {
        /// A key of the run.
        run: &'static str,
        /// A key of the policy.
        policy: &'static str,
        metric: Statistic,
    }
    let cases = [
        Case { run: "", policy: "", metric: Statistic::GradL1 },
        Case { run: "metric = \"grad-rms\"\n", policy: "", metric: Statistic::GradRms },
        Case { run: "", policy: ", metric = \"grad-l2\"", metric: Statistic::GradL2 },
        Case {
            run: "metric = \"grad-rms\"\n",
            policy: ", metric = \"grad-mean-abs\"",
            metric: Statistic::GradMeanAbs,
        },
    ];
    for Case { run, policy, metric } in cases {
        let document = format!("[freezing]\n{run}policy = {{ name = \"below\", tau = 1{policy} }}");
        let tracker = tracker(&FreezingConfig::from_toml(&document).unwrap(), 10).unwrap();
        assert_eq!(tracker.statistics(), StatisticSet::of([metric]), "{document}");
    }
    let document = "[freezing]\nmetric = \"grad-l2\"\n[freezing.policy]\nname = \"nested\"\n\
                    policy = { name = \"below\", tau = 1 }";
    let tracker = tracker(&FreezingConfig::from_toml(document).unwrap(), 10).unwrap();
    assert_eq!(tracker.statistics(), StatisticSet::of([Statistic::GradL2]), "a child too");
}

#[test]
fn a_policy_that_refuses_its_table_silently_is_reported() {
    let text = problem("[freezing]\npolicy = { name = \"silent\" }");
    assert_eq!(text, "freezing.policy: policy \"silent\" refused its table without saying why");
    // A child that said why is enough.
    let text = problem("[freezing]\npolicy = { name = \"nested\", policy = { name = \"below\" } }");
    assert!(text.starts_with("freezing.policy.policy.tau: is missing"), "{text}");
}

#[test]
fn the_registry_is_sorted_and_describes_its_policies() {
    let registry = PolicyRegistry::linked().unwrap();
    assert_eq!(
        registry.names().collect::<Vec<_>>(),
        ["below", "both", "nested", "pair", "planned", "silent"]
    );
    let below = registry.get("below").unwrap();
    assert_eq!(below.summary(), "freezes below tau");
    assert_eq!(below.keys().iter().map(|key| key.name).collect::<Vec<_>>(), ["tau", "metric"]);
    assert!(below.type_name().ends_with("policies::Below"), "{}", below.type_name());
    assert!(registry.get("Below").is_none());
    // A second name finds the same plug-in, which is listed once.
    let both = registry.get("pair").unwrap();
    assert_eq!((both.name(), both.alias(), below.alias()), ("both", Some("pair"), None));
    let listed: Vec<_> = registry.plugins().map(|plugin| plugin.name()).collect();
    assert_eq!(listed, ["below", "both", "nested", "planned", "silent"]);
}

#[test]
fn every_key_is_described() {
    let registry = PolicyRegistry::linked().unwrap();
    let all = FreezingConfig::KEYS.iter().chain(registry.plugins().flat_map(|plugin| plugin.keys()));
    for key in all {
        assert!(!key.help.is_empty(), "{}", key.name);
    }
}

#[test]
fn a_section_without_keys_says_that_none_is_known() {
    let table: toml::Table = "tau = 1".parse().unwrap();
    let mut problems = Problems::default();
    const NONE: &[Key] = &[];
    Section::new("policy", &table, NONE, &mut problems);
    assert_eq!(problems.to_string(), "policy.tau: unknown key; known: none");
}

#[test]
fn statistics_go_by_their_names() {
    for statistic in Statistic::ALL {
        assert_eq!(statistic.name().parse::<Statistic>().unwrap(), statistic);
        assert_eq!(serde_json::to_string(&statistic).unwrap(), format!("\"{statistic}\""));
        assert!(StatisticSet::of([statistic]).contains(statistic));
        assert_eq!(StatisticSet::of([statistic]).iter().collect::<Vec<_>>(), [statistic]);
    }
    assert_eq!(StatisticSet::of(Statistic::ALL).iter().collect::<Vec<_>>(), Statistic::ALL);
    assert!(StatisticSet::default().is_empty());
}
