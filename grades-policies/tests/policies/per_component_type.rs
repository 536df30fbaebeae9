//! `per-component-type`: which rule a component gets.

use grades::FreezingConfig;
use grades::component::{Component, ComponentKind};
use grades::policy::{Decision, FreezePolicy, Observation, PolicyState};
use grades::statistic::{ComponentSample, Statistic};
use grades_policies::{FixedThreshold, PerComponentType, Selector};

use crate::support::{build, events, letters, problems, tracker};

/// The threshold of the policy that a component gets; `None` when it gets none.
fn chosen(toml: &str, name: &str, kind: ComponentKind, layer: Option<u32>) -> Option<f64> {
    let mut policy = build(&format!("name = \"per-component-type\"\n{toml}")).unwrap();
    let component = Component::detached(name, kind, layer, 1);
    let sample = ComponentSample::from_gradient(&[0.0]);
    match policy.decide(&Observation::new(&component, &sample)) {
        Decision::Freeze(cause) => Some(cause.threshold),
        _ => None,
    }
}

fn tau(tau: u32) -> String {
    format!("{{ name = \"fixed-threshold\", tau = {tau} }}")
}

#[test]
fn a_kind_beats_a_group_which_beats_the_default_and_rules_beat_all() {
    use ComponentKind::{Down, Embedding, FusedQkv, Gate, Query, Value};
    let (default, attention, mlp, query) = (tau(1), tau(2), tau(3), tau(4));
    // Written from the strongest to the weakest: the order of the file does not matter.
    let named = format!("query = {query}\nmlp = {mlp}\nattention = {attention}\ndefault = {default}\n");
    let rules = format!(
        "rules = [{{ kinds = [\"query\", \"down\"], policy = {} }}, {{ layers = [2, 3], policy = {} }}]",
        tau(5),
        tau(6)
    );
    let both = format!("{named}{rules}");
    struct Case<'a> {
        table: &'a str,
        kind: ComponentKind,
        layer: Option<u32>,
        threshold: Option<f64>,
    }
    let cases = [
        Case { table: &named, kind: Query, layer: Some(0), threshold: Some(4.0) },
        Case { table: &named, kind: Value, layer: Some(0), threshold: Some(2.0) },
        Case { table: &named, kind: FusedQkv, layer: Some(0), threshold: Some(2.0) },
        Case { table: &named, kind: Gate, layer: Some(0), threshold: Some(3.0) },
        Case { table: &named, kind: Embedding, layer: None, threshold: Some(1.0) },
        Case { table: &both, kind: Query, layer: Some(0), threshold: Some(5.0) },
        Case { table: &both, kind: Down, layer: Some(1), threshold: Some(5.0) },
        // Both rules fit: the last one.
        Case { table: &both, kind: Query, layer: Some(2), threshold: Some(6.0) },
        Case { table: &both, kind: Gate, layer: Some(3), threshold: Some(6.0) },
        Case { table: &both, kind: Gate, layer: Some(4), threshold: Some(3.0) },
        // Outside of the blocks no layers fit.
        Case { table: &both, kind: Embedding, layer: None, threshold: Some(1.0) },
        Case { table: &rules, kind: Gate, layer: Some(4), threshold: None },
        Case { table: &rules, kind: Query, layer: Some(4), threshold: Some(5.0) },
    ];
    for Case { table, kind, layer, threshold } in cases {
        assert_eq!(chosen(table, "it", kind, layer), threshold, "{kind} of {layer:?} in\n{table}");
    }
    // A group named after a kind that it holds does not win by its place in the file.
    assert_eq!(chosen(&format!("attention = {}\nquery = {}", tau(2), tau(4)), "it", Query, None), Some(4.0));
}

#[test]
fn every_kind_has_a_key_of_its_own() {
    for kind in ComponentKind::ALL {
        let table = format!("{kind} = {}", tau(7));
        for other in ComponentKind::ALL {
            let expected = (other == kind).then_some(7.0);
            assert_eq!(chosen(&table, "it", other, Some(0)), expected, "{other} under {kind}");
        }
    }
}

#[test]
fn layer_ranges_include_both_ends() {
    for (layers, inside) in [("[0, 0]", vec![0]), ("[1, 3]", vec![1, 2, 3]), ("[2, 9]", vec![2, 3, 4])] {
        let table = format!("rules = [{{ layers = {layers}, policy = {} }}]", tau(7));
        let found: Vec<u32> =
            (0..5).filter(|layer| chosen(&table, "it", ComponentKind::Up, Some(*layer)).is_some()).collect();
        assert_eq!(found, inside, "{layers}");
        assert_eq!(chosen(&table, "it", ComponentKind::Up, None), None, "{layers}");
    }
}

#[test]
fn patterns_match_the_whole_name_and_all_of_a_rule_must_fit() {
    let table = format!("rules = [{{ match = 'encoder\\.\\d+\\.wq', policy = {} }}]", tau(7));
    for (name, fits) in [
        ("encoder.0.wq", true),
        ("encoder.12.wq", true),
        ("encoder.0.wq.lora", false),
        ("model.encoder.0.wq", false),
        ("encoder.x.wq", false),
    ] {
        assert_eq!(chosen(&table, name, ComponentKind::Query, None).is_some(), fits, "{name}");
    }
    let table = format!(
        "rules = [{{ kinds = [\"attention\"], layers = [1, 2], match = '.*wq', policy = {} }}]",
        tau(7)
    );
    struct Case {
        name: &'static str,
        kind: ComponentKind,
        layer: Option<u32>,
        fits: bool,
    }
    let cases = [
        Case { name: "a.wq", kind: ComponentKind::Query, layer: Some(1), fits: true },
        Case { name: "a.wk", kind: ComponentKind::Query, layer: Some(1), fits: false },
        Case { name: "a.wq", kind: ComponentKind::Up, layer: Some(1), fits: false },
        Case { name: "a.wq", kind: ComponentKind::Query, layer: Some(0), fits: false },
    ];
    for Case { name, kind, layer, fits } in cases {
        assert_eq!(chosen(&table, name, kind, layer).is_some(), fits, "{name}, {kind}, {layer:?}");
    }
    // A rule that says nothing but its policy is for all.
    let table = format!("query = {}\nrules = [{{ policy = {} }}]", tau(1), tau(7));
    assert_eq!(chosen(&table, "it", ComponentKind::Query, None), Some(7.0));
}

#[test]
fn a_component_without_a_policy_never_freezes() {
    let names = ["layers.0.self_attn.q_proj", "layers.0.mlp.up_proj", "layers.1.self_attn.q_proj"];
    let document = format!("[freezing.policy]\nname = \"per-component-type\"\nattention = {}", tau(1));
    let config = FreezingConfig::from_toml(&document).unwrap();
    let mut tracker = tracker(&names, &config, 10);
    let quiet = |_, _| Some(ComponentSample::from_gradient(&[0.5]));
    assert_eq!(events(&mut tracker, quiet), "2F0 2F2");
    assert_eq!(tracker.components()[1].kind, ComponentKind::Up);
    assert!(!tracker.all_frozen());
}

#[test]
fn a_quota_for_one_kind_ranks_that_kind_and_is_a_share_of_all_components() {
    let names = ["layers.0.self_attn.q_proj", "layers.0.mlp.up_proj", "layers.1.self_attn.q_proj"];
    let document = format!(
        "[freezing.policy]\nname = \"per-component-type\"\nattention = {{ name = \"quota\", window = 1 }}\nmlp = {}",
        tau(1)
    );
    let mut tracker = tracker(&names, &FreezingConfig::from_toml(&document).unwrap(), 10);
    let loud = |_, _| Some(ComponentSample::from_gradient(&[2.0]));
    // Of 3: 0.81, 1.46, 1.97, 2.35, …
    assert_eq!(events(&mut tracker, loud), "2F0 4F2");
}

#[test]
fn only_the_components_of_a_rule_that_thaws_come_back() {
    let names = ["layers.0.self_attn.q_proj", "layers.0.mlp.up_proj", "layers.1.self_attn.q_proj"];
    let document = format!(
        "[freezing.policy]\nname = \"per-component-type\"\nattention = {}\n\
         mlp = {{ name = \"thaw\", period = 2, probe = 2, policy = {} }}",
        tau(1),
        tau(1)
    );
    let mut tracker = tracker(&names, &FreezingConfig::from_toml(&document).unwrap(), 8);
    assert!(tracker.thaws());
    let sample = |_, index| Some(ComponentSample::from_gradient(&[[0.5, 0.5, 2.0][index]]));
    assert_eq!(events(&mut tracker, sample), "2F0 2F1 4T1 6F1");
}

#[test]
fn in_code_the_last_selector_that_fits_wins() {
    let rule = |selector: Selector, tau: f64| -> (Selector, Box<dyn FreezePolicy>) {
        (selector, Box::new(FixedThreshold::new(Statistic::GradL1, tau)))
    };
    let policy = PerComponentType::new(vec![
        rule(Selector::all(), 1.0),
        rule(Selector::all().kinds(ComponentKind::MLP), 2.0),
        rule(Selector::all().layers(3, 4), 3.0),
    ]);
    let chosen = |kind, layer| {
        let component = Component::detached("it", kind, Some(layer), 1);
        let sample = ComponentSample::from_gradient(&[0.0]);
        match policy.clone().decide(&Observation::new(&component, &sample)) {
            Decision::Freeze(cause) => cause.threshold,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(chosen(ComponentKind::Query, 0), 1.0);
    assert_eq!(chosen(ComponentKind::Up, 0), 2.0);
    assert_eq!(chosen(ComponentKind::Up, 4), 3.0);
}

#[test]
fn its_state_says_which_rule_and_a_rule_that_is_not_there_is_refused() {
    let table = |rules: usize| {
        let kinds = ["query", "key", "value"];
        let rules: Vec<_> = kinds[..rules]
            .iter()
            .map(|kind| format!("{kind} = {{ name = \"patience\", hits = 3, policy = {} }}", tau(1)))
            .collect();
        format!("name = \"per-component-type\"\n{}", rules.join("\n"))
    };
    let state = |toml: &str| PolicyState::from_table(toml.parse().unwrap());
    let mut policy = build(&table(3)).unwrap();
    assert_eq!(toml::to_string(&policy.state().unwrap()).unwrap(), "chosen = \"open\"\n\n[policy]\n");
    letters(&mut *policy, &[0.5]);
    let text = toml::to_string(&policy.state().unwrap()).unwrap();
    assert_eq!(text, "chosen = \"0\"\n\n[policy]\nseen = 1\n\n[policy.policy]\n");

    let before = policy.state().unwrap();
    for (wrong, message) in [
        ("chosen = \"3\"\npolicy = {}", "rule 3 of 3 rules"),
        (
            "chosen = \"closed\"\npolicy = {}",
            "chosen is \"closed\", expected open, nothing, or a rule's place",
        ),
        ("chosen = \"nothing\"\npolicy = { seen = 1 }", "entry \"seen\" is unknown"),
        ("chosen = \"open\"\npolicy = { seen = 1 }", "entry \"seen\" is unknown"),
        ("chosen = \"1\"\npolicy = {}", "missing field `seen`"),
    ] {
        let error = policy.restore(&state(wrong)).unwrap_err().to_string();
        assert!(error.contains(message), "{wrong}: {error}");
        assert_eq!(policy.state().unwrap(), before, "a state that does not fit changes nothing");
    }
}

#[test]
fn two_rules_for_the_same_components_contradict_each_other() {
    let rules = |rules: &str| problems(&format!("name = \"per-component-type\"\nrules = [{rules}]"));
    let policy = format!("policy = {}", tau(1));
    struct Case {
        list: String,
        second: usize,
        first: usize,
    }
    let cases = [
        Case { list: format!("{{ {policy} }}, {{ {policy} }}"), second: 1, first: 0 },
        Case {
            list: format!("{{ layers = [1, 2], {policy} }}, {{ {policy} }}, {{ layers = [1, 2], {policy} }}"),
            second: 2,
            first: 0,
        },
        Case {
            list: format!("{{ match = 'a', {policy} }}, {{ match = 'a', {policy} }}"),
            second: 1,
            first: 0,
        },
        Case {
            list: format!(
                "{{ kinds = [\"up\", \"key\"], {policy} }}, {{ kinds = [\"up\", \"key\"], {policy} }}"
            ),
            second: 1,
            first: 0,
        },
        // The same kinds in another order, twice, or by their group.
        Case {
            list: format!(
                "{{ kinds = [\"up\", \"key\"], {policy} }}, {{ kinds = [\"key\", \"up\"], {policy} }}"
            ),
            second: 1,
            first: 0,
        },
        Case {
            list: format!("{{ kinds = [\"up\"], {policy} }}, {{ kinds = [\"up\", \"up\"], {policy} }}"),
            second: 1,
            first: 0,
        },
        Case {
            list: format!(
                "{{ kinds = [\"mlp\"], {policy} }}, {{ kinds = [\"fused-gate-up\", \"up\", \"gate\", \"down\"], {policy} }}"
            ),
            second: 1,
            first: 0,
        },
    ];
    for Case { list, second, first } in cases {
        let expected = format!(
            "policy.rules[{second}].policy: contradicts rules[{first}], which is for the same components"
        );
        assert_eq!(rules(&list), expected, "{list}");
    }
    // The place is that in the file, whatever is wrong with the rules before it.
    let text = rules(&format!("{{ layers = [2, 1], {policy} }}, {{ {policy} }}, {{ {policy} }}"));
    assert!(text.contains("policy.rules[2].policy: contradicts rules[1], which"), "{text}");
    // Different ones do not, even if they overlap.
    let overlap = format!("{{ layers = [1, 2], {policy} }}, {{ layers = [1, 3], {policy} }}");
    build(&format!("name = \"per-component-type\"\nrules = [{overlap}]")).unwrap();
}

#[test]
fn its_tables_problems_are_reported_with_their_full_paths() {
    let policy = format!("policy = {}", tau(1));
    let cases = [
        ("", "policy.default: there is no policy at all: give default, a kind, or rules"),
        ("rules = []", "policy.default: there is no policy at all: give default, a kind, or rules"),
        ("rules = 1", "policy.rules: expected a list of tables, found 1"),
        ("default = 1", "policy.default: expected a table, found 1"),
        (
            "querry = { name = \"quota\" }\ndefault = { name = \"quota\" }",
            "policy.querry: unknown key (did you mean \"query\"?)",
        ),
        ("mlp = { name = \"fixed-threshold\" }", "policy.mlp.tau: is missing; expected a number above 0"),
        (
            "rules = [{ layers = [0, 1] }]",
            "policy.rules[0].policy: is missing; expected the table of a policy",
        ),
        (
            "rules = [{ policy = { name = \"quota\", windows = 1 } }]",
            "policy.rules[0].policy.windows: unknown key (did you mean \"window\"?)",
        ),
    ];
    for (table, expected) in cases {
        let text = problems(&format!("name = \"per-component-type\"\n{table}"));
        assert!(text.contains(expected), "{table}: {text}");
    }
    let selectors = [
        ("kinds = [\"mpl\"]", "kinds: unknown component kind \"mpl\" (did you mean \"mlp\"?)"),
        ("kinds = \"mlp\"", "kinds: expected a list of strings, found \"mlp\""),
        ("kinds = [1]", "kinds: expected a list of strings, found [1]"),
        ("kinds = []", "kinds: is empty: no component fits"),
        ("layers = [3, 2]", "layers: expected [FIRST, LAST] with FIRST up to LAST, found [3, 2]"),
        ("layers = [1]", "layers: expected [FIRST, LAST] with FIRST up to LAST, found [1]"),
        ("layers = [1, 2, 3]", "layers: expected [FIRST, LAST] with FIRST up to LAST, found [1, 2, 3]"),
        ("layers = [-1, 2]", "layers: expected [FIRST, LAST] with FIRST up to LAST, found [-1, 2]"),
        ("layers = 1", "layers: expected [FIRST, LAST] with FIRST up to LAST, found 1"),
        ("match = '('", "match: \"(\": regex parse error"),
        ("match = 1", "match: expected a string, found 1"),
        (
            "layer = [1, 2]",
            "layer: unknown key (did you mean \"layers\"?); known: kinds, layers, match, policy",
        ),
    ];
    for (selector, expected) in selectors {
        let table =
            format!("name = \"per-component-type\"\nrules = [{{ {policy} }}, {{ {selector}, {policy} }}]");
        let text = problems(&table);
        let all = text.lines().any(|line| line.trim().starts_with(&format!("policy.rules[1].{expected}")));
        assert!(all, "{selector}: {text}");
    }
}
