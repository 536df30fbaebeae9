//! The errors for a model in which nothing could ever freeze.

use grades::FreezingConfig;
use grades::component::{ComponentConfig, ComponentKind, ComponentMap, ParameterInfo};

fn error(names: &[&str], config: &ComponentConfig) -> String {
    let parameters: Vec<_> = names.iter().map(|name| ParameterInfo::new(*name, [2, 2])).collect();
    ComponentMap::new(&parameters, config).unwrap_err().to_string()
}

fn from_toml(components: &str) -> ComponentConfig {
    let document = format!(
        "[freezing]\npolicy = {{ name = \"below\", tau = 1.0 }}\n[freezing.components]\n{components}"
    );
    FreezingConfig::from_toml(&document).unwrap().components().clone()
}

#[test]
fn names_that_no_layout_knows_are_shown() {
    assert_eq!(
        error(&["a.weight", "b.weight"], &ComponentConfig::default()),
        "no component to freeze: none of the layouts llama, phi3, gpt2, bert, vit names a parameter of this model that \
         is tracked; name your weight matrices with a pattern (kind is query, key, value, output, up, down, …):\n\n\
         [[freezing.components.patterns]]\nmatch = '(?:a\\.weight|b\\.weight)'\nkind = \"up\"\n\n\
         parameters seen: a.weight, b.weight"
    );
}

#[test]
fn of_many_names_the_first_are_shown_and_the_rest_is_counted() {
    let names: Vec<String> = (0..15).map(|index| format!("n{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = error(&names, &ComponentConfig::default());
    let seen = text.lines().last().unwrap();
    assert_eq!(seen, "parameters seen: n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, … and 3 more");
    let text = error(&names[..12], &ComponentConfig::default());
    assert!(text.ends_with("n10, n11"), "{text}");
}

#[test]
fn a_model_without_trainable_parameters_is_called_that() {
    assert_eq!(
        error(&[], &ComponentConfig::default()),
        "no component to freeze: there is no trainable parameter\nparameters seen: none"
    );
}

#[test]
fn a_pattern_that_excludes_everything_is_blamed() {
    let names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight"];
    let text = error(&names, &from_toml("exclude = ['.*']"));
    assert!(text.contains("all that could freeze is excluded (2 parameters)"), "{text}");
    assert!(text.contains("parameters seen: model.layers.0.self_attn.q_proj.weight, "), "{text}");
}

#[test]
fn exclusion_is_blamed_in_a_model_with_biases_and_norms_too() {
    let names = [
        "bert.encoder.layer.0.attention.self.query.weight",
        "bert.encoder.layer.0.attention.self.query.bias",
        "bert.encoder.layer.0.output.LayerNorm.weight",
        "bert.pooler.dense.weight",
    ];
    let text = error(&names, &from_toml(r"exclude = ['bert\.encoder\..*']"));
    assert!(text.contains("all that could freeze is excluded (1 parameter)"), "{text}");
}

#[test]
fn exclusion_is_not_blamed_for_kinds_that_are_not_tracked_anyway() {
    let names = ["model.norm.weight", "lm_head.weight"];
    let text = error(&names, &from_toml("layout = \"llama\"\nexclude = ['lm_head.*']"));
    assert!(!text.contains("all that could freeze is excluded"), "{text}");
    assert!(text.contains("; 1 is excluded; 1 is of a kind that `track` lacks: \"norm\""), "{text}");
}

#[test]
fn exclusion_is_not_blamed_for_names_that_nothing_matches() {
    let config = ComponentConfig::default().with_track([ComponentKind::Other]);
    let text = error(&["a.weight"], &config);
    assert!(text.contains("none of the layouts"), "{text}");
}

#[test]
fn the_layout_that_was_asked_for_is_named() {
    let gpt2 = ["transformer.h.0.attn.c_attn.weight", "transformer.wte.weight"];
    let text = error(&gpt2, &from_toml("layout = \"llama\""));
    assert!(
        text.contains("layout \"llama\" does not name a parameter of this model that is tracked"),
        "{text}"
    );
    let text = error(&gpt2, &from_toml("layout = \"none\""));
    assert!(
        text.contains("layout \"none\" does not name a parameter of this model that is tracked"),
        "{text}"
    );
}

#[test]
fn own_patterns_of_kinds_that_are_not_tracked_are_counted() {
    let config = ComponentConfig::default().with_pattern(".*", ComponentKind::Other).unwrap();
    let text = error(&["a", "b"], &config);
    assert!(text.contains("nor your 1 pattern name"), "{text}");
    assert!(text.contains("2 are of a kind that `track` lacks: \"other\""), "{text}");
}

#[test]
fn tracking_nothing_in_code_is_an_error() {
    let text = error(&["model.layers.0.mlp.up_proj.weight"], &ComponentConfig::default().with_track([]));
    assert!(text.starts_with("no component to freeze: "), "{text}");
}

#[test]
fn the_pattern_of_the_error_can_be_pasted() {
    let parameters = ["enc.weight", "dec.weight"].map(|name| ParameterInfo::new(name, [2, 2]));
    let error = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap_err().to_string();
    let table = error.split_once("):\n").unwrap().1.split_once("\nparameters seen").unwrap().0;
    let document = format!("[freezing]\npolicy = {{ name = \"below\", tau = 1.0 }}\n{table}");
    let config = FreezingConfig::from_toml(&document).unwrap();
    let map = ComponentMap::new(&parameters, config.components()).unwrap();
    assert_eq!(map.components().len(), 2);
}

#[test]
fn names_of_numbered_blocks_that_no_layout_knows_are_found_by_shape() {
    let parameters = [
        ParameterInfo::new("emb.weight", [100, 8]),
        ParameterInfo::new("enc.2.wq.weight", [8, 8]),
        ParameterInfo::new("enc.2.wq.bias", [8]),
        ParameterInfo::new("enc.2.ln.weight", [8]),
        ParameterInfo::new("enc.10.fc1.weight", [8, 8]),
        ParameterInfo::new("tail3.fc2.weight", [8, 8]),
        ParameterInfo::new("fc3.weight", [8, 8]),
    ];
    for config in
        [ComponentConfig::default(), from_toml("layout = \"any\""), from_toml("track = [\"other\"]")]
    {
        let map = ComponentMap::new(&parameters, &config).unwrap();
        let found: Vec<_> =
            map.components().iter().map(|found| (found.name.as_str(), found.kind, found.layer)).collect();
        let other = ComponentKind::Other;
        let expected =
            [("enc.2.wq", other, Some(2)), ("tail3.fc2", other, Some(3)), ("enc.10.fc1", other, Some(10))];
        assert_eq!(found, expected);
        assert_eq!(map.layout(), "any");
    }
    let note = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap().note().unwrap();
    assert!(note.contains("its 3 two-dimensional weights"), "{note}");
    assert_eq!(ComponentMap::new(&parameters, &from_toml("layout = \"any\"")).unwrap().note(), None);
    // A choice of kinds is not overruled.
    let error =
        ComponentMap::new(&parameters, &from_toml("track = [\"attention\"]")).unwrap_err().to_string();
    assert!(error.starts_with("no component to freeze: none of the layouts"), "{error}");
}

#[test]
fn a_pattern_that_matches_nothing_beside_others_is_an_error() {
    let patterns =
        "patterns = [{ match = 'a\\.weight', kind = \"up\" }, { match = 'c\\.weight', kind = \"down\" }]";
    let text = error(&["a.weight", "b.weight"], &from_toml(patterns));
    let expected =
        r#"freezing.components.patterns[1].match: "c\.weight" matches none of the 2 trainable parameters"#;
    assert_eq!(text, expected);
}

#[test]
fn kind_other_takes_no_biases_and_no_norms() {
    let parameters = [ParameterInfo::new("net.fc.weight", [4, 4]), ParameterInfo::new("net.fc.bias", [4])];
    let config = from_toml("track = [\"other\"]\npatterns = [{ match = 'net\\..*', kind = \"other\" }]");
    let map = ComponentMap::new(&parameters, &config).unwrap();
    assert_eq!(map.components().len(), 1);
    assert_eq!(map.left_out()[0].reason, "biases and norms are not tracked as kind other");
}
