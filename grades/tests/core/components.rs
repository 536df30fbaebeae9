//! Which parameters are components: published models, user patterns, order.

use std::collections::BTreeMap;

use grades::FreezingConfig;
use grades::component::ComponentKind::{
    self, Adapter, Down, Embedding, FusedGateUp, FusedQkv, Gate, Head, Key, Norm, Other, Output, Query, Up,
    Value,
};
use grades::component::{AdapterGrouping, ComponentConfig, ComponentMap, Layout, LeftOut, ParameterInfo};

const LAYERS: usize = 3;

/// A model: its parameters, and what is expected of them.
struct Model {
    name: &'static str,
    parameters: Vec<String>,
    layout: &'static str,
    /// Components per kind, over all layers.
    tracked: &'static [(ComponentKind, usize)],
    /// Parameters that are not tracked, by what they are taken for.
    left_out: &'static [(ComponentKind, usize)],
}

/// Names outside of the blocks, then names of each block; `{}` stands for the layer, `w+b` for weight and bias.
fn names(outer: &[&str], block: &[&str]) -> Vec<String> {
    let blocks =
        (0..LAYERS).flat_map(|layer| block.iter().map(move |name| name.replace("{}", &layer.to_string())));
    let both = |name: String| match name.strip_suffix("w+b") {
        Some(stem) => vec![format!("{stem}weight"), format!("{stem}bias")],
        None => vec![name],
    };
    outer.iter().map(|name| name.to_string()).chain(blocks).flat_map(both).collect()
}

/// The parameters of Llama; Mistral's have the same names.
fn llama() -> Vec<String> {
    names(
        &["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"],
        &[
            "model.layers.{}.self_attn.q_proj.weight",
            "model.layers.{}.self_attn.k_proj.weight",
            "model.layers.{}.self_attn.v_proj.weight",
            "model.layers.{}.self_attn.o_proj.weight",
            "model.layers.{}.mlp.gate_proj.weight",
            "model.layers.{}.mlp.up_proj.weight",
            "model.layers.{}.mlp.down_proj.weight",
            "model.layers.{}.input_layernorm.weight",
            "model.layers.{}.post_attention_layernorm.weight",
        ],
    )
}

fn bert(prefix: &str, heads: &[&str]) -> Vec<String> {
    let outer = [
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight",
        "embeddings.LayerNorm.w+b",
    ];
    let block = [
        "encoder.layer.{}.attention.self.query.w+b",
        "encoder.layer.{}.attention.self.key.w+b",
        "encoder.layer.{}.attention.self.value.w+b",
        "encoder.layer.{}.attention.output.dense.w+b",
        "encoder.layer.{}.attention.output.LayerNorm.w+b",
        "encoder.layer.{}.intermediate.dense.w+b",
        "encoder.layer.{}.output.dense.w+b",
        "encoder.layer.{}.output.LayerNorm.w+b",
    ];
    let body = names(&outer, &block).into_iter().map(|name| format!("{prefix}{name}"));
    body.chain(names(heads, &[])).collect()
}

fn models() -> Vec<Model> {
    const SEPARATE: &[(ComponentKind, usize)] =
        &[(Query, 3), (Key, 3), (Value, 3), (Output, 3), (Gate, 3), (Up, 3), (Down, 3)];
    const PLAIN: &[(ComponentKind, usize)] =
        &[(Query, 3), (Key, 3), (Value, 3), (Output, 3), (Up, 3), (Down, 3)];
    const FUSED_PLAIN: &[(ComponentKind, usize)] = &[(Output, 3), (Up, 3), (Down, 3), (FusedQkv, 3)];

    let mut qwen3 = llama();
    qwen3.extend(names(
        &[],
        &["model.layers.{}.self_attn.q_norm.weight", "model.layers.{}.self_attn.k_norm.weight"],
    ));
    let mut qwen2 = llama();
    qwen2.extend(names(
        &[],
        &[
            "model.layers.{}.self_attn.q_proj.bias",
            "model.layers.{}.self_attn.k_proj.bias",
            "model.layers.{}.self_attn.v_proj.bias",
        ],
    ));
    vec![
        Model {
            name: "Llama, Mistral",
            parameters: llama(),
            layout: "llama",
            tracked: SEPARATE,
            left_out: &[(Embedding, 1), (Norm, 7), (Head, 1)],
        },
        Model {
            name: "Qwen3",
            parameters: qwen3,
            layout: "llama",
            tracked: SEPARATE,
            left_out: &[(Embedding, 1), (Norm, 13), (Head, 1)],
        },
        Model {
            name: "Qwen2",
            parameters: qwen2,
            layout: "llama",
            tracked: SEPARATE,
            left_out: &[(Embedding, 1), (Norm, 7), (Head, 1), (Other, 9)],
        },
        Model {
            name: "Phi-3",
            parameters: names(
                &["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"],
                &[
                    "model.layers.{}.self_attn.qkv_proj.weight",
                    "model.layers.{}.self_attn.o_proj.weight",
                    "model.layers.{}.mlp.gate_up_proj.weight",
                    "model.layers.{}.mlp.down_proj.weight",
                    "model.layers.{}.input_layernorm.weight",
                    "model.layers.{}.post_attention_layernorm.weight",
                ],
            ),
            layout: "phi3",
            tracked: &[(Output, 3), (Down, 3), (FusedQkv, 3), (FusedGateUp, 3)],
            left_out: &[(Embedding, 1), (Norm, 7), (Head, 1)],
        },
        Model {
            name: "GPT-2",
            parameters: names(
                &[
                    "transformer.wte.weight",
                    "transformer.wpe.weight",
                    "transformer.ln_f.w+b",
                    "lm_head.weight",
                ],
                &[
                    "transformer.h.{}.ln_1.w+b",
                    "transformer.h.{}.attn.c_attn.w+b",
                    "transformer.h.{}.attn.c_proj.w+b",
                    "transformer.h.{}.ln_2.w+b",
                    "transformer.h.{}.mlp.c_fc.w+b",
                    "transformer.h.{}.mlp.c_proj.w+b",
                ],
            ),
            layout: "gpt2",
            tracked: FUSED_PLAIN,
            left_out: &[(Embedding, 2), (Norm, 14), (Head, 1), (Other, 12)],
        },
        Model {
            name: "BERT",
            parameters: bert("bert.", &["bert.pooler.dense.w+b", "classifier.w+b"]),
            layout: "bert",
            tracked: PLAIN,
            left_out: &[(Embedding, 5), (Norm, 12), (Head, 2), (Other, 20)],
        },
        Model {
            name: "MiniLM, without a prefix and without a head",
            parameters: bert("", &["pooler.dense.w+b"]),
            layout: "bert",
            tracked: PLAIN,
            left_out: &[(Embedding, 5), (Norm, 12), (Head, 1), (Other, 19)],
        },
        Model {
            name: "RoBERTa",
            parameters: bert("roberta.", &["classifier.dense.w+b", "classifier.out_proj.w+b"]),
            layout: "bert",
            tracked: PLAIN,
            left_out: &[(Embedding, 5), (Norm, 12), (Head, 2), (Other, 20)],
        },
        Model {
            name: "ViT (Hugging Face)",
            parameters: names(
                &[
                    "vit.embeddings.cls_token",
                    "vit.embeddings.position_embeddings",
                    "vit.embeddings.patch_embeddings.projection.w+b",
                    "vit.layernorm.w+b",
                    "classifier.w+b",
                ],
                &[
                    "vit.encoder.layer.{}.attention.attention.query.w+b",
                    "vit.encoder.layer.{}.attention.attention.key.w+b",
                    "vit.encoder.layer.{}.attention.attention.value.w+b",
                    "vit.encoder.layer.{}.attention.output.dense.w+b",
                    "vit.encoder.layer.{}.intermediate.dense.w+b",
                    "vit.encoder.layer.{}.output.dense.w+b",
                    "vit.encoder.layer.{}.layernorm_before.w+b",
                    "vit.encoder.layer.{}.layernorm_after.w+b",
                ],
            ),
            layout: "vit",
            tracked: PLAIN,
            left_out: &[(Embedding, 4), (Norm, 14), (Head, 1), (Other, 19)],
        },
        Model {
            name: "ViT (timm)",
            parameters: names(
                &["cls_token", "pos_embed", "patch_embed.proj.w+b", "norm.w+b", "head.w+b"],
                &[
                    "blocks.{}.norm1.w+b",
                    "blocks.{}.attn.qkv.w+b",
                    "blocks.{}.attn.proj.w+b",
                    "blocks.{}.norm2.w+b",
                    "blocks.{}.mlp.fc1.w+b",
                    "blocks.{}.mlp.fc2.w+b",
                ],
            ),
            layout: "vit",
            tracked: FUSED_PLAIN,
            left_out: &[(Embedding, 4), (Norm, 14), (Head, 1), (Other, 13)],
        },
    ]
}

fn infos<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<ParameterInfo> {
    names.into_iter().map(|name| ParameterInfo::new(name, [2, 2])).collect()
}

fn map_of(names: &[&str], config: &ComponentConfig) -> ComponentMap {
    ComponentMap::new(&infos(names.iter().copied()), config).unwrap()
}

/// The configuration of `[freezing.components]` with these lines.
fn from_toml(components: &str) -> ComponentConfig {
    let document = format!(
        "[freezing]\npolicy = {{ name = \"below\", tau = 1.0 }}\n[freezing.components]\n{components}"
    );
    FreezingConfig::from_toml(&document).unwrap().components().clone()
}

fn names_of(map: &ComponentMap) -> Vec<&str> {
    map.components().iter().map(|component| component.name.as_str()).collect()
}

fn counts(kinds: impl IntoIterator<Item = ComponentKind>) -> Vec<(ComponentKind, usize)> {
    let mut counts = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

fn left_out<'a>(map: &'a ComponentMap, name: &str) -> &'a LeftOut {
    map.left_out()
        .iter()
        .find(|left_out| left_out.name == name)
        .unwrap_or_else(|| panic!("{name} is tracked"))
}

#[test]
fn published_models_are_recognised() {
    for model in models() {
        let map = ComponentMap::new(
            &infos(model.parameters.iter().map(String::as_str)),
            &ComponentConfig::default(),
        )
        .unwrap();
        assert_eq!(map.layout(), model.layout, "{}", model.name);
        let tracked = counts(map.components().iter().map(|component| component.kind));
        assert_eq!(tracked, model.tracked, "{}: tracked", model.name);
        let left_out = counts(map.left_out().iter().map(|left_out| left_out.kind));
        assert_eq!(left_out, model.left_out, "{}: left out", model.name);
    }
}

#[test]
fn every_parameter_is_a_components_or_left_out_once() {
    for model in models() {
        let map = ComponentMap::new(
            &infos(model.parameters.iter().map(String::as_str)),
            &ComponentConfig::default(),
        )
        .unwrap();
        let tracked = map.components().iter().flat_map(|component| &component.parameters);
        let mut all: Vec<&str> = tracked.map(|position| model.parameters[*position].as_str()).collect();
        all.extend(map.left_out().iter().map(|left_out| left_out.name.as_str()));
        all.sort_unstable();
        let mut expected: Vec<&str> = model.parameters.iter().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(all, expected, "{}", model.name);
    }
}

#[test]
fn every_layer_of_a_published_model_has_the_same_components() {
    for model in models() {
        let map = ComponentMap::new(
            &infos(model.parameters.iter().map(String::as_str)),
            &ComponentConfig::default(),
        )
        .unwrap();
        let of_layer = |layer| {
            let of_layer = map.components().iter().filter(move |component| component.layer == Some(layer));
            of_layer.map(|component| component.kind).collect::<Vec<_>>()
        };
        assert!(!of_layer(0).is_empty(), "{}", model.name);
        for layer in 1..LAYERS as u32 {
            assert_eq!(of_layer(layer), of_layer(0), "{}: layer {layer}", model.name);
        }
    }
}

#[test]
fn what_is_left_out_has_a_reason() {
    let names = [
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layer.1.attention.self.query.weight",
        "bert.encoder.layer.1.attention.self.query.bias",
        "bert.encoder.layer.1.output.LayerNorm.bias",
        "classifier.weight",
        "temperature",
    ];
    let map = map_of(&names, &from_toml(r#"exclude = ['classifier\..*']"#));
    let out = |name, kind, layer, reason: &str| {
        let expected = LeftOut { name: String::from(name), kind, layer, reason: reason.to_owned() };
        assert_eq!(left_out(&map, name), &expected);
    };
    out("bert.embeddings.word_embeddings.weight", Embedding, None, "kind embedding is not tracked");
    out("bert.encoder.layer.1.output.LayerNorm.bias", Norm, Some(1), "kind norm is not tracked");
    out("bert.encoder.layer.1.attention.self.query.bias", Other, Some(1), "kind other is not tracked");
    out("temperature", Other, None, "no pattern matches its name");
    out("classifier.weight", Head, None, r#"excluded by "classifier\..*""#);
    assert_eq!(names_of(&map), ["bert.encoder.layer.1.attention.self.query"]);
}

#[test]
fn the_last_of_the_own_patterns_that_match_wins() {
    let names = ["blocks.0.wq.weight", "blocks.0.wk.weight"];
    let patterns = [(r"blocks\.(?<layer>\d+)\..*", Up), (r"blocks\.(?<layer>\d+)\.wk\.weight", Key)];
    let kinds = |patterns: &[(&str, ComponentKind)]| {
        let config = patterns.iter().fold(ComponentConfig::default(), |config, (pattern, kind)| {
            config.with_pattern(pattern, *kind).unwrap()
        });
        let map = map_of(&names, &config);
        let kind = |name| map.components().iter().find(|component| component.name == name).unwrap().kind;
        (kind("blocks.0.wq"), kind("blocks.0.wk"))
    };
    assert_eq!(kinds(&patterns), (Up, Key));
    let [general, special] = patterns;
    assert_eq!(kinds(&[special, general]), (Up, Up));
}

#[test]
fn an_own_pattern_wins_over_the_layout() {
    let names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight"];
    let config = from_toml(
        r#"
        [[freezing.components.patterns]]
        match = '.*q_proj\.weight'
        kind = "fused-qkv"
        "#,
    );
    let map = map_of(&names, &config);
    let found: Vec<_> = map.components().iter().map(|component| (component.kind, component.layer)).collect();
    // The own pattern captures no layer.
    assert_eq!(found, [(FusedQkv, None), (Key, Some(0))]);
}

#[test]
fn a_pattern_matches_the_whole_name_or_not_at_all() {
    for (pattern, matches) in [
        ("wq", false),
        (r"layers\.0\.wq", false),
        (r"layers\.0\.wq\.weight", true),
        (r"nothing|layers\.0\.wq\.weight", true),
        (r"layers\.0\.wq\.weight|nothing", true),
        (r"layers\.0|weight", false),
        (r"layers\.0\.wq\.weigh", false),
    ] {
        let config = ComponentConfig::default().with_pattern(pattern, Query).unwrap();
        assert_eq!(ComponentMap::new(&infos(["layers.0.wq.weight"]), &config).is_ok(), matches, "{pattern}");
    }
}

#[test]
fn exclude_wins_over_layout_and_own_patterns() {
    let names = ["model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight", "extra.weight"];
    let config = from_toml(
        r#"
        exclude = ['model\.layers\.0\..*', 'extra\..*']
        patterns = [{ match = 'extra\.weight', kind = "up" }]
        "#,
    );
    let map = map_of(&names, &config);
    assert_eq!(names_of(&map), ["model.layers.1.mlp.up_proj"]);
    assert_eq!(left_out(&map, "extra.weight").reason, r#"excluded by "extra\..*""#);
}

#[test]
fn only_the_kinds_that_are_asked_for_are_tracked() {
    let cases: [(&str, &[ComponentKind]); 5] = [
        (r#"track = ["attention"]"#, &[Query, Key, Value, Output]),
        (r#"track = ["mlp"]"#, &[Gate, Up, Down]),
        (r#"track = ["down", "query"]"#, &[Query, Down]),
        (r#"track = ["norm", "embedding", "head"]"#, &[Embedding, Norm, Head]),
        (r#"track = ["attention", "mlp", "query"]"#, &[Query, Key, Value, Output, Gate, Up, Down]),
    ];
    let parameters = llama();
    for (track, expected) in cases {
        let map =
            ComponentMap::new(&infos(parameters.iter().map(String::as_str)), &from_toml(track)).unwrap();
        let kinds = counts(map.components().iter().map(|component| component.kind));
        let kinds: Vec<_> = kinds.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, expected, "{track}");
    }
}

#[test]
fn the_layout_that_is_asked_for_is_used_where_another_fits_better() {
    let names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.o_proj.weight"];
    assert_eq!(map_of(&names, &ComponentConfig::default()).components().len(), 2);
    let map = map_of(&names, &from_toml(r#"layout = "phi3""#));
    assert_eq!(map.layout(), "phi3");
    assert_eq!(names_of(&map), ["model.layers.0.self_attn.o_proj"]);

    let own = "layout = \"none\"\npatterns = [{ match = '.*q_proj.weight', kind = \"query\" }]";
    let map = map_of(&names, &from_toml(own));
    assert_eq!((map.layout(), names_of(&map)), ("none", vec!["model.layers.0.self_attn.q_proj"]));
}

#[test]
fn layouts_are_found_by_the_names_that_they_carry() {
    let names: Vec<_> = Layout::all().iter().map(Layout::name).collect();
    assert_eq!(names, ["llama", "phi3", "gpt2", "bert", "vit"]);
    for name in names {
        assert_eq!(Layout::by_name(name).unwrap().name(), name);
        assert!(!Layout::by_name(name).unwrap().summary().is_empty());
    }
    assert!(Layout::by_name("Llama").is_none());
}

#[test]
fn the_two_matrices_of_an_adapter_are_one_component() {
    let parameters = [
        ParameterInfo::new("base_model.model.model.layers.4.self_attn.q_proj.lora_A.default.weight", [8, 64]),
        ParameterInfo::new("base_model.model.model.layers.4.self_attn.v_proj.lora_B.mine.weight", [32, 8]),
        ParameterInfo::new("base_model.model.model.layers.4.self_attn.q_proj.lora_B.default.weight", [64, 8]),
        ParameterInfo::new("base_model.model.model.layers.4.self_attn.v_proj.lora_A.mine.weight", [8, 64]),
    ];
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    let found: Vec<_> = map
        .components()
        .iter()
        .map(|component| {
            (component.kind, component.layer, component.parameters.as_slice(), component.elements)
        })
        .collect();
    let expected: [(ComponentKind, Option<u32>, &[usize], u64); 2] =
        [(Adapter, Some(4), &[0, 2], 1024), (Adapter, Some(4), &[1, 3], 768)];
    assert_eq!(found, expected);
}

#[test]
fn adapters_are_components_outside_of_blocks_too_and_have_their_magnitudes() {
    let names = [
        "bert.pooler.dense.lora_A.default.weight",
        "bert.pooler.dense.lora_B.default.weight",
        "bert.pooler.dense.lora_magnitude_vector.default.weight",
        "encoder.layer.3.output.dense.lora_A.my-name.weight",
        "encoder.layer.3.output.dense.lora_magnitude_vector",
    ];
    let map = map_of(&names, &ComponentConfig::default());
    let found: Vec<_> =
        map.components().iter().map(|c| (c.name.as_str(), c.layer, c.parameters.len())).collect();
    assert_eq!(found, [("bert.pooler.dense", None, 3), ("encoder.layer.3.output.dense", Some(3), 2)]);
}

#[test]
fn the_layout_of_a_model_with_adapters_is_that_of_its_other_names() {
    let bert = [
        "bert.encoder.layer.1.attention.self.query.lora_A.default.weight",
        "bert.encoder.layer.1.attention.self.query.lora_B.default.weight",
        "bert.encoder.layer.1.attention.self.query.bias",
        "bert.encoder.layer.1.attention.output.LayerNorm.weight",
    ];
    let vit = [
        "vit.encoder.layer.1.attention.attention.query.lora_A.default.weight",
        "vit.encoder.layer.1.attention.attention.query.lora_B.default.weight",
        "vit.encoder.layer.1.layernorm_before.weight",
        "vit.encoder.layer.1.attention.attention.query.bias",
    ];
    let gpt2 = [
        "transformer.h.1.attn.c_attn.lora_A.default.weight",
        "transformer.h.1.attn.c_attn.lora_B.default.weight",
        "transformer.h.1.attn.c_attn.bias",
        "transformer.h.1.ln_1.weight",
    ];
    for (layout, names) in [("bert", bert), ("vit", vit), ("gpt2", gpt2)] {
        let map = map_of(&names, &ComponentConfig::default());
        assert_eq!((map.layout(), map.components().len()), (layout, 1));
        // A follower freezes with the block that it is in.
        let layers: Vec<_> = map.left_out().iter().map(|left| left.layer).collect();
        assert_eq!(layers, [Some(1), Some(1)], "{layout}");
    }
    // With adapters alone the names say no more than that.
    assert_eq!(map_of(&bert[..2], &ComponentConfig::default()).components()[0].layer, Some(1));
}

#[test]
fn adapters_are_known_without_a_layout() {
    let names = ["h.3.query.lora_A.default.weight", "h.3.query.lora_B.default.weight", "h.3.query.bias"];
    let map = map_of(&names, &from_toml("layout = \"none\""));
    let found: Vec<_> = map.components().iter().map(|c| (c.name.as_str(), c.kind, c.layer)).collect();
    assert_eq!((map.layout(), found), ("none", vec![("h.3.query", ComponentKind::Adapter, Some(3))]));
    let config = from_toml("layout = \"none\"").with_adapters(grades::component::AdapterGrouping::Apart);
    let apart = names_of(&map_of(&names, &config)).len();
    assert_eq!(apart, 2);
}

#[test]
fn adapters_are_apart_where_asked_and_own_patterns_still_come_first() {
    let names = ["h.0.mlp.lora_A.a.weight", "h.0.mlp.lora_B.a.weight", "h.1.mlp.lora_B.a.weight"];
    let config = ComponentConfig::default().with_adapters(AdapterGrouping::Apart);
    let list = |config: &ComponentConfig| -> Vec<String> {
        map_of(&names, config).components().iter().map(|c| c.name.clone()).collect()
    };
    assert_eq!(list(&config), ["h.0.mlp.lora_A.a", "h.0.mlp.lora_B.a", "h.1.mlp.lora_B.a"]);
    let own = config.with_pattern(r"(?<component>h\.0)\..*", Adapter).unwrap();
    assert_eq!(list(&own), ["h.0", "h.1.mlp.lora_B.a"]);
    assert!("both".parse::<AdapterGrouping>().unwrap_err().to_string().contains("together, apart"));
}

#[test]
fn parameters_that_a_pattern_gives_one_name_freeze_together() {
    let config = ComponentConfig::default()
        .with_pattern(r"(?<component>layers\.(?<layer>\d+)\.attn)\.(?:wq|wk)\.weight", Query)
        .unwrap();
    let names = ["layers.1.attn.wk.weight", "layers.0.attn.wq.weight", "layers.0.attn.wk.weight"];
    let map = map_of(&names, &config);
    let found: Vec<_> = map
        .components()
        .iter()
        .map(|component| (component.name.as_str(), component.parameters.clone()))
        .collect();
    assert_eq!(found, [("layers.0.attn", vec![1, 2]), ("layers.1.attn", vec![0])]);
}

#[test]
fn components_come_by_layer_kind_and_name_whatever_the_order_of_the_parameters() {
    let mut parameters = llama();
    parameters.push("model.layers.10.mlp.up_proj.weight".to_owned());
    let in_order =
        ComponentMap::new(&infos(parameters.iter().map(String::as_str)), &ComponentConfig::default())
            .unwrap();
    let keys = |map: &ComponentMap| {
        let key = |component: &grades::component::Component| {
            (component.layer, component.kind, component.name.clone())
        };
        map.components().iter().map(key).collect::<Vec<_>>()
    };
    assert!(keys(&in_order).is_sorted());
    assert_eq!(in_order.components().last().unwrap().layer, Some(10)); // as a number, not as text

    for rotation in 1..parameters.len() {
        let mut other = parameters.clone();
        other.rotate_left(rotation);
        if rotation % 2 == 1 {
            other.reverse();
        }
        let map =
            ComponentMap::new(&infos(other.iter().map(String::as_str)), &ComponentConfig::default()).unwrap();
        assert_eq!(keys(&map), keys(&in_order));
        for component in map.components() {
            // The positions follow the parameters to wherever they went.
            let [position] = component.parameters[..] else { panic!("{component:?}") };
            assert_eq!(other[position], format!("{}.weight", component.name));
        }
    }
}

#[test]
fn a_component_counts_the_numbers_of_all_dimensions() {
    let shapes: [(Vec<i64>, u64); 4] = [(vec![], 1), (vec![7], 7), (vec![3, 5], 15), (vec![4, 0, 2], 0)];
    for (shape, elements) in shapes {
        assert_eq!(ParameterInfo::new("w", shape.clone()).elements(), elements, "{shape:?}");
    }
    let query = ParameterInfo::new("model.layers.0.self_attn.q_proj.weight", [4096, 1024]);
    let map = ComponentMap::new(&[query], &ComponentConfig::default()).unwrap();
    assert_eq!(map.components()[0].elements, 4_194_304);
}

#[test]
fn a_model_of_ten_thousand_components_is_sorted_in_no_time() {
    let names: Vec<String> = (0..2500)
        .flat_map(|layer| {
            ["q", "k", "v", "o"].map(|p| format!("model.layers.{layer}.self_attn.{p}_proj.weight"))
        })
        .collect();
    let started = std::time::Instant::now();
    let map =
        ComponentMap::new(&infos(names.iter().map(String::as_str)), &ComponentConfig::default()).unwrap();
    assert_eq!(map.components().len(), 10_000);
    assert_eq!(map.components()[9_999].layer, Some(2499));
    // Without optimisation it takes about a second; a quadratic search would take minutes.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn kinds_and_their_words_belong_together() {
    for kind in ComponentKind::ALL {
        assert_eq!(kind.name().parse::<ComponentKind>().unwrap(), kind);
        assert_eq!(ComponentKind::group(kind.name()).unwrap(), [kind]);
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
    }
    assert_eq!(ComponentKind::group("attention").unwrap(), ComponentKind::ATTENTION);
    assert_eq!(ComponentKind::group("mlp").unwrap(), ComponentKind::MLP);
    let error = ComponentKind::group("atention").unwrap_err().to_string();
    assert!(
        error
            .starts_with("unknown component kind \"atention\" (did you mean \"attention\"?); known: query, ")
    );
}
