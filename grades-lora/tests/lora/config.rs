//! The configuration from TOML and from `adapter_config.json`, with all that can be wrong in either.

use grades_lora::{Bias, Error, Init, LoraConfig, Targets};
use serde_json::{Value, json};

fn from_json(text: &str) -> grades_lora::Result<LoraConfig> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("adapter_config.json"), text).unwrap();
    LoraConfig::from_adapter(dir.path())
}

#[test]
fn every_key_is_read_from_toml() {
    let text = "r = 4\nlora_alpha = 6\nlora_dropout = 0.1\ntarget_modules = ['a', 'b']\nexclude_modules = 'c.*'\n\
                rank_pattern = { x = 2 }\nalpha_pattern = { x = 3, y = 0.5 }\nlayers_to_transform = [1, 2]\n\
                layers_pattern = 'layer'\nuse_rslora = true\nuse_dora = true\ninit_lora_weights = 'gaussian'\n\
                bias = 'lora_only'\nmodules_to_save = ['head']";
    let config = LoraConfig::from_toml(text).unwrap();
    let mut expected = LoraConfig::new(4)
        .alpha(6.0)
        .dropout(0.1)
        .target_modules(["a", "b"])
        .rank_of("x", 2)
        .alpha_of("x", 3.0)
        .alpha_of("y", 0.5)
        .layers_to_transform([1, 2])
        .rslora(true)
        .dora(true)
        .init(Init::Gaussian)
        .bias(Bias::LoraOnly)
        .modules_to_save(["head"]);
    expected.exclude_modules = Some(Targets::Pattern("c.*".to_owned()));
    expected.layers_pattern = vec!["layer".to_owned()];
    assert_eq!(config, expected);
    let spelt_out = toml::to_string(&config.to_table()).unwrap();
    assert_eq!(LoraConfig::from_toml(&spelt_out).unwrap(), config);
    let defaults = toml::to_string(&LoraConfig::default().to_table()).unwrap();
    assert_eq!(LoraConfig::from_toml(&defaults).unwrap(), LoraConfig::default());
    assert_eq!(LoraConfig::from_toml("").unwrap(), LoraConfig::default());
}

#[test]
fn all_problems_of_a_table_are_reported_with_their_keys() {
    let cases = [
        ("r = 0", "r: expected a rank of at least 1, found 0"),
        ("r = 'two'", "r: expected a whole number, found"),
        ("rank = 8", "rank: unknown key"),
        ("lora_alpha = 'big'", "lora_alpha: expected a number"),
        ("lora_dropout = 1", "lora_dropout: expected a number from 0 to below 1, found 1"),
        ("target_modules = []", "target_modules: is empty"),
        ("target_modules = 3", "target_modules: expected a list of names, or a regular expression"),
        ("target_modules = '(a'", "target_modules: \"(a\" is no regular expression"),
        ("target_modules = 'a)(b'", "target_modules: \"a)(b\" is no regular expression"),
        ("exclude_modules = '['", "exclude_modules: \"[\" is no regular expression"),
        ("rank_pattern = { q = 0 }", "rank_pattern: expected a rank of at least 1 for \"q\", found 0"),
        ("rank_pattern = { '*' = 1 }", "rank_pattern: \"*\" is no regular expression"),
        ("alpha_pattern = { q = inf }", "alpha_pattern: expected a number for \"q\""),
        ("layers_to_transform = [0]", "layers_to_transform: needs target_modules as a list of names"),
        ("layers_to_transform = [-1]", "layers_to_transform: expected a number or a list of numbers"),
        ("layers_pattern = 'h'", "layers_pattern: means nothing without layers_to_transform"),
        ("init_lora_weights = 'pissa'", "init_lora_weights: expected true, false or \"gaussian\""),
        ("bias = 'some'", "bias: expected none, all or lora_only"),
        ("modules_to_save = 'head'", "modules_to_save: expected a list of strings"),
    ];
    for (text, expected) in cases {
        let error = LoraConfig::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let all = LoraConfig::from_toml("r = 0\nlora_dropout = 2\nbias = 'some'").unwrap_err();
    let Error::Config(problems) = all else { panic!("{all}") };
    assert_eq!(problems.as_slice().len(), 3);
}

#[test]
fn a_minimal_adapter_config_has_pefts_defaults() {
    let config = from_json(r#"{"peft_type": "LORA", "target_modules": ["q"]}"#).unwrap();
    assert_eq!(config, LoraConfig::default().target_modules(["q"]));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let refused = [
        ("peft_type", json!("ADALORA")),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("init_lora_weights", json!("olora")),
        ("bias", json!("most")),
        ("fan_in_fan_out", json!(true)),
        ("lora_bias", json!(true)),
        ("layer_replication", json!([[0, 4], [2, 5]])),
        ("use_bdlora", json!({"nblocks": 2})),
        ("use_qalora", json!(true)),
        ("velora_config", json!({"rank": 1})),
        ("kasa_config", json!({})),
        ("monteclora_config", json!({"n": 1})),
        ("arrow_config", json!({"top_k": 3})),
        ("alora_invocation_tokens", json!([1, 2])),
        ("target_parameters", json!(["experts.weight"])),
        ("trainable_token_indices", json!([5])),
        ("megatron_config", json!({"a": 1})),
        ("corda_config", json!({"a": 1})),
        ("eva_config", json!({"rho": 2.0})),
        ("lora_ga_config", json!({"a": 1})),
        ("loftq_config", json!({"loftq_bits": 4})),
        ("a_key_of_peft_0_30", json!("on")),
    ];
    for (key, value) in refused {
        let mut config = json!({"peft_type": "LORA", "target_modules": ["q"]});
        config[key] = value;
        let error = from_json(&config.to_string()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(&error, Error::Unsupported { key: found, .. } if found == key), "{key}: {text}");
        assert!(text.contains("adapter_config.json: \"") && text.contains("supported: "), "{text}");
    }
    let inert = json!({"peft_type": "LORA", "target_modules": ["q"], "loftq_config": {}, "runtime_config": {"x": 1},
        "peft_version": "0.9.0", "a_key_of_peft_0_30": null, "another": false, "third": [], "fourth": {},
        "fifth": ""});
    assert!(!from_json(&inert.to_string()).unwrap().ensure_weight_tying);
    let tied = json!({"peft_type": "LORA", "target_modules": ["q"], "ensure_weight_tying": true});
    assert!(from_json(&tied.to_string()).unwrap().ensure_weight_tying);
}

#[test]
fn values_of_the_wrong_form_are_named() {
    struct Case {
        key: &'static str,
        value: Value,
        expected: &'static str,
    }
    let cases = [
        Case { key: "r", value: json!("8"), expected: "\"r\": expected a whole number, found \"8\"" },
        Case { key: "r", value: json!(0), expected: "r: expected a rank of at least 1" },
        Case { key: "lora_alpha", value: json!([1]), expected: "\"lora_alpha\": expected a number" },
        Case { key: "target_modules", value: json!(null), expected: "has no \"target_modules\"" },
        Case {
            key: "rank_pattern",
            value: json!({"q": 1.5}),
            expected: "\"rank_pattern\": expected an object from expressions to numbers",
        },
        Case {
            key: "modules_to_save",
            value: json!("head"),
            expected: "\"modules_to_save\": expected a list of strings",
        },
        Case {
            key: "task_type",
            value: json!("CLASSIFY"),
            expected: "task_type: expected one of SEQ_CLS, SEQ_2_SEQ_LM, CAUSAL_LM, ",
        },
        Case { key: "use_dora", value: json!(1), expected: "\"use_dora\": expected true or false, found 1" },
        Case { key: "peft_type", value: json!(null), expected: "has no \"peft_type\"" },
    ];
    for Case { key, value, expected } in cases {
        let mut config = json!({"peft_type": "LORA", "target_modules": ["q"]});
        config[key] = value;
        let error = from_json(&config.to_string()).unwrap_err().to_string();
        assert!(error.contains(expected), "{key}: {error}");
    }
    assert!(from_json("{\"peft_type\": \"LORA\"").unwrap_err().to_string().contains("is no JSON object"));
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let cases = [
        (r#"{"peft_type": "LORA", "r": 8, "target_modules": ["q"], "r": 4}"#, "\"r\" stands there twice"),
        (
            r#"{"peft_type": "LORA", "target_modules": ["q"], "rank_pattern": {"q": 1, "v": 2, "q": 4}}"#,
            "each expression once",
        ),
    ];
    for (text, words) in cases {
        let error = from_json(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn tasks_are_those_of_peft() {
    for task in ["SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"] {
        assert!(LoraConfig::new(2).task_type(task).check().is_ok(), "{task}");
    }
    let error = LoraConfig::new(2).task_type("seq_cls").check().unwrap_err().to_string();
    assert!(
        error.contains("task_type: expected one of SEQ_CLS, ") && error.contains("found \"seq_cls\""),
        "{error}"
    );
}

#[test]
fn no_blocks_are_written_as_null_beside_an_expression() {
    let mut net = crate::support::Net::new();
    let mut adapters = grades_lora::Adapters::new();
    let config = LoraConfig::new(2).target_pattern(".*up").layers_to_transform([]);
    adapters.add(&mut net.layers, &net.vs, "default", &config).unwrap();
    let dir = tempfile::tempdir().unwrap();
    adapters.save("default", dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["layers_to_transform"], &value["target_modules"]), (&Value::Null, &json!(".*up")));
}

/// The keys that peft 0.21.2's `LoraConfig(...).save_pretrained` writes.
const KEYS: [&str; 41] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "kasa_config",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "modules_to_save",
    "monteclora_config",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "target_parameters",
    "task_type",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "use_rslora",
    "velora_config",
];

#[test]
fn the_written_file_has_all_keys_and_reads_back() {
    let mut net = crate::support::Net::new();
    let mut adapters = grades_lora::Adapters::new();
    let config = LoraConfig::new(2)
        .alpha(3.0)
        .dropout(0.25)
        .rank_of("up", 3)
        .rank_of(".*", 1)
        .alpha_of("down", 0.5)
        .bias(Bias::All)
        .modules_to_save(["classifier"])
        .task_type("SEQ_CLS")
        .base_model("some/where");
    adapters.add(&mut net.layers, &net.vs, "default", &config).unwrap();
    let dir = tempfile::tempdir().unwrap();
    adapters.save("default", dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), KEYS);
    let order: Vec<usize> = KEYS.iter().map(|key| text.find(&format!("\n  \"{key}\":")).unwrap()).collect();
    assert!(order.is_sorted());
    assert!(text.contains("\"lora_alpha\": 3,") && text.contains("\"down\": 0.5"));
    let read = LoraConfig::from_adapter(dir.path()).unwrap();
    assert_eq!(&read, adapters.config("default").unwrap());
    assert_eq!(read.rank_pattern, [("up".to_owned(), 3), (".*".to_owned(), 1)], "the order is kept");
    assert_eq!(
        read.target_modules,
        Targets::List(vec!["layers.0.mlp.down".into(), "layers.0.mlp.up".into()])
    );
}
