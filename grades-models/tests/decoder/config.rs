//! Configurations: both forms, and what is refused, by name.

use grades_models::decoder::{Architecture, DecoderConfig};
use grades_models::{Error, Family};
use serde_json::{Value, json};

use crate::tiny_decoder::TinyDecoder;

fn read(changes: Value) -> DecoderConfig {
    DecoderConfig::load(TinyDecoder::new(changes).path()).unwrap()
}

fn refused(changes: Value) -> String {
    let tiny = TinyDecoder::new(changes);
    let error = DecoderConfig::load(tiny.path()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. } | Error::Config { .. }), "{error}");
    let text = error.to_string();
    let file = tiny.file("config.json").display().to_string();
    text.strip_prefix(&format!("{file}: ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn both_forms_of_the_rotation_are_read_alike() {
    let numbers = json!({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 32});
    let with = |more: Value| {
        let mut table = numbers.clone();
        table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        table
    };
    let four = read(json!({"rope_theta": 5e5, "rope_scaling": with(json!({"rope_type": "llama3"}))}));
    let old = read(json!({"rope_theta": 5e5, "rope_scaling": with(json!({"type": "llama3"}))}));
    let five = with(json!({"rope_type": "llama3", "rope_theta": 5e5}));
    let five = read(json!({"rope_theta": null, "rope_parameters": five}));
    assert_eq!(four.rope, five.rope);
    assert_eq!(old.rope, five.rope);
    assert_eq!((five.rope.theta, five.rope.rotary_dim, five.rope.scaling.unwrap().factor), (5e5, 4, 8.0));
    // The original length falls back to the longest sequence.
    let mut table = with(json!({"rope_type": "llama3"}));
    table.as_object_mut().unwrap().remove("original_max_position_embeddings");
    let scaling = read(json!({"rope_scaling": table})).rope.scaling.unwrap();
    assert_eq!(scaling.original_max_position_embeddings, 64.0);
}

#[test]
fn windows_are_those_of_the_class() {
    let mistral =
        |window: Value| json!({"model_type": "mistral", "architectures": null, "sliding_window": window});
    assert_eq!(read(mistral(json!(5))).windows, [Some(5); 2]);
    assert_eq!(read(mistral(Value::Null)).windows, [None; 2]);
    assert_eq!(read(json!({"model_type": "mistral", "architectures": null})).windows, [Some(4096); 2]);
    let qwen3 = |changes: Value| {
        let mut all = json!({"model_type": "qwen3", "architectures": null, "sliding_window": 5});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        read(all)
    };
    assert_eq!(qwen3(json!({})).windows, [None; 2]);
    assert_eq!(qwen3(json!({"use_sliding_window": true, "max_window_layers": 1})).windows, [None, Some(5)]);
    let types = json!(["sliding_attention", "full_attention"]);
    assert_eq!(qwen3(json!({"use_sliding_window": true, "layer_types": types})).windows, [Some(5), None]);
    assert_eq!(qwen3(json!({"layer_types": types})).windows, [None; 2]);
}

#[test]
fn defaults_are_those_of_the_class() {
    let config = read(json!({"model_type": "qwen3", "architectures": null}));
    assert_eq!((config.architecture, config.head_dim), (Architecture::Qwen3, 128));
    let config = read(json!({"num_key_value_heads": null, "head_dim": null}));
    assert_eq!((config.num_key_value_heads, config.head_dim), (4, 4));
    assert_eq!(read(json!({"eos_token_id": [2, 3]})).eos_token_ids, [2, 3]);
    assert_eq!(read(json!({"pad_token_id": -1})).pad_token_id, Some(39));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let cases = [
        (
            json!({"model_type": "gemma3"}),
            "\"model_type\" is \"gemma3\", which is not supported; supported: llama, mistral, qwen3, phi3",
        ),
        (
            json!({"architectures": ["LlamaForSequenceClassification"]}),
            "\"architectures\" is \"LlamaForSequenceClassification\", which is not supported; supported: LlamaForCausalLM, LlamaModel",
        ),
        (
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
            "\"rope_scaling\" is \"rope_type yarn\", which is not supported; supported: default, llama3",
        ),
        (
            json!({"rope_parameters": {"rope_type": "linear", "factor": 4.0}}),
            "\"rope_parameters\" is \"rope_type linear\", which is not supported; supported: default, llama3",
        ),
        (
            json!({"model_type": "phi3", "architectures": null, "rope_scaling": {"type": "longrope"}}),
            "\"rope_scaling\" is \"rope_type longrope\", which is not supported; supported: default",
        ),
        (
            json!({"partial_rotary_factor": 0.5}),
            "\"partial_rotary_factor\" is \"0.5\", which is not supported; supported: 1.0 (all but phi3)",
        ),
        (
            json!({"hidden_act": "glu"}),
            "\"hidden_act\" is \"glu\", which is not supported; supported: gelu, ",
        ),
    ];
    for (changes, message) in cases {
        let found = refused(changes);
        assert!(found.starts_with(message), "{found}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let cases = [
        (
            json!({"num_key_value_heads": 3}),
            "\"num_key_value_heads\": 3 does not divide \"num_attention_heads\" 4",
        ),
        (
            json!({"hidden_size": 18}),
            "\"num_attention_heads\": 4 does not divide \"hidden_size\" 18, and there is no \"head_dim\"",
        ),
        (json!({"head_dim": 5}), "\"head_dim\": 5 of 5 elements of a head cannot be rotated in pairs"),
        (json!({"vocab_size": 0}), "\"vocab_size\": expected a whole number from 1 to 1073741824, found 0"),
        (
            json!({"tie_word_embeddings": "no"}),
            "\"tie_word_embeddings\": expected true or false, found \"no\"",
        ),
        (json!({"rope_scaling": 4}), "\"rope_scaling\": expected an object, found 4"),
        (json!({"pad_token_id": 40}), "\"pad_token_id\": expected an id below 40, found 40"),
        (
            json!({"eos_token_id": "</s>"}),
            "\"eos_token_id\": expected an id or a list of ids, found \"</s>\"",
        ),
        (
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0}}),
            "\"rope_scaling\": the key \"low_freq_factor\" is missing; rope_type llama3 needs it",
        ),
        (
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 1.0, "low_freq_factor": 4.0}}),
            "\"rope_scaling\": \"high_freq_factor\" 1 is not above \"low_freq_factor\" 4",
        ),
        (
            json!({"model_type": "qwen3", "architectures": null, "layer_types": ["full_attention"]}),
            "\"layer_types\": expected a list of 2 names, found [\"full_attention\"]",
        ),
    ];
    for (changes, message) in cases {
        assert_eq!(refused(changes), message);
    }
}

#[test]
fn a_directory_tells_its_family() {
    let tiny = TinyDecoder::phi3(json!({}));
    assert_eq!(Family::of(tiny.path()).unwrap(), Family::Decoder(Architecture::Phi3));
    let tiny = TinyDecoder::new(json!({"model_type": "bert"}));
    assert_eq!(Family::of(tiny.path()).unwrap(), Family::Bert);
    let tiny = TinyDecoder::new(json!({"model_type": "t5"}));
    let error = Family::of(tiny.path()).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "\"model_type\" is \"t5\", which is not supported; supported: bert, llama, mistral, qwen3, phi3"
        ),
        "{error}"
    );
    let tiny = TinyDecoder::new(json!({"model_type": null}));
    assert!(
        Family::of(tiny.path())
            .unwrap_err()
            .to_string()
            .contains("the key is missing; expected one of: bert, llama")
    );
}
