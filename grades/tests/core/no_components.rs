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
    FreezingConfig::from_toml(&document).unwrap().component_config().clone()
}

#[test]
fn names_that_no_layout_knows_are_shown() {
    assert_eq!(
        error(&["a.weight", "b.weight"], &ComponentConfig::default()),
        "no component to freeze: none of the layouts llama, phi3, gpt2, bert, vit and 0 own patterns give no tracked \
         component (0 parameters are excluded, 0 are of kinds not tracked); add [[freezing.components.patterns]] with \
         match and kind\n\
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
    assert!(text.contains("all that could freeze is excluded (1 parameters)"), "{text}");
}

#[test]
fn exclusion_is_not_blamed_for_kinds_that_are_not_tracked_anyway() {
    let names = ["model.norm.weight", "lm_head.weight"];
    let text = error(&names, &from_toml("layout = \"llama\"\nexclude = ['lm_head.*']"));
    assert!(!text.contains("all that could freeze is excluded"), "{text}");
    assert!(text.contains("(1 parameters are excluded, 1 are of kinds not tracked)"), "{text}");
}

#[test]
fn exclusion_is_not_blamed_for_names_that_nothing_matches() {
    let config = ComponentConfig::default().tracking([ComponentKind::Other]);
    let text = error(&["a.weight"], &config);
    assert!(text.contains("none of the layouts"), "{text}");
}

#[test]
fn the_layout_that_was_asked_for_is_named() {
    let gpt2 = ["transformer.h.0.attn.c_attn.weight", "transformer.wte.weight"];
    let text = error(&gpt2, &from_toml("layout = \"llama\""));
    assert!(text.contains("layout \"llama\" and 0 own patterns give no tracked component"), "{text}");
    let text = error(&gpt2, &from_toml("layout = \"none\""));
    assert!(text.contains("layout \"none\" and 0 own patterns give no tracked component"), "{text}");
}

#[test]
fn own_patterns_of_kinds_that_are_not_tracked_are_counted() {
    let config = ComponentConfig::default().with_pattern(".*", ComponentKind::Other).unwrap();
    let text = error(&["a", "b"], &config);
    assert!(text.contains("1 own patterns"), "{text}");
    assert!(text.contains("2 are of kinds not tracked"), "{text}");
}

#[test]
fn tracking_nothing_in_code_is_an_error() {
    let text = error(&["model.layers.0.mlp.up_proj.weight"], &ComponentConfig::default().tracking([]));
    assert!(text.starts_with("no component to freeze: "), "{text}");
}
