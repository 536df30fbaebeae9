//! Loading: whole models of every form, and errors for everything else.

use grades_models::bert::{BertClassifier, LoadOptions};
use serde_json::json;
use tch::{Kind, Tensor};

use crate::support::{Tiny, logits, write_tensors};
use crate::tolerance::{assert_within, epsilon};

fn labels(names: &[&str]) -> LoadOptions {
    let labels = Some(names.iter().map(|name| (*name).to_owned()).collect());
    LoadOptions { labels, ..LoadOptions::default() }
}

fn own() -> LoadOptions {
    LoadOptions::default()
}

#[test]
fn a_base_model_gets_a_fresh_head() {
    let tiny = Tiny::base();
    tiny.write();
    let load =
        |seed| BertClassifier::load(tiny.path(), LoadOptions { seed, ..labels(&["a", "b", "c"]) }).unwrap();
    let (model, report) = load(1);
    assert_eq!(report.fresh, ["classifier.bias", "classifier.weight"]);
    assert!(report.ignored.is_empty());
    assert_eq!(model.labels(), ["a", "b", "c"]);
    assert_eq!((model.max_positions(), model.vocab_size()), (16, 40));
    let weight = |model: &BertClassifier| model.var_store().variables()["classifier.weight"].copy();
    assert_eq!(weight(&model).size(), [3, 8]);
    // The same for the same seed; torch's own generator has no part in it.
    assert_eq!(weight(&model), weight(&load(1).0));
    assert_ne!(weight(&model), weight(&load(2).0));
    let bias = model.var_store().variables()["classifier.bias"].copy();
    assert_eq!(bias, Tensor::zeros([3], (Kind::Float, tch::Device::Cpu)));
}

#[test]
fn a_fresh_head_is_normal() {
    let mut tiny = Tiny::base();
    tiny.config["initializer_range"] = json!(0.5);
    tiny.write();
    let names: Vec<String> = (0..2000).map(|i| i.to_string()).collect();
    let options = LoadOptions { labels: Some(names), ..own() };
    let (model, _) = BertClassifier::load(tiny.path(), options).unwrap();
    let weight = model.var_store().variables()["classifier.weight"].copy();
    let (deviation, mean) =
        (f64::try_from(weight.std(false)).unwrap(), f64::try_from(weight.mean(Kind::Float)).unwrap());
    assert!((deviation - 0.5).abs() < 0.02 && mean.abs() < 0.02, "{mean} ± {deviation}");
}

#[test]
fn values_arrive_under_their_names() {
    let tiny = Tiny::classifier();
    let model = tiny.write().load();
    let variables = model.var_store().variables();
    assert_eq!(variables.len(), tiny.tensors.len());
    for (name, (shape, values)) in &tiny.tensors {
        let shape: Vec<i64> = shape.iter().map(|&length| i64::try_from(length).unwrap()).collect();
        assert_eq!(variables[name], Tensor::from_slice(values).view(shape.as_slice()), "{name}");
    }
}

#[test]
fn prefixed_and_bare_names_are_the_same_model() {
    let (mut bare, full) = (Tiny::base(), Tiny::classifier());
    for (name, tensor) in &full.tensors {
        bare.tensors.insert(name.trim_start_matches("bert.").to_owned(), tensor.clone());
    }
    assert_eq!(logits(&bare.write().load()), logits(&full.write().load()));
}

#[test]
fn old_layer_norm_names_are_accepted() {
    let tiny = Tiny::classifier();
    let mut old = Tiny::classifier();
    old.tensors = tiny
        .tensors
        .iter()
        .map(|(name, tensor)| {
            let name = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            (name, tensor.clone())
        })
        .collect();
    assert_eq!(logits(&old.write().load()), logits(&tiny.write().load()));
}

#[test]
fn a_missing_pooler_and_the_heads_of_pretraining_are_reported() {
    let mut tiny = Tiny::base();
    tiny.tensors.retain(|name, _| !name.starts_with("pooler"));
    tiny.add("cls.predictions.bias", &[40]);
    tiny.add("embeddings.position_ids", &[1, 16]);
    tiny.write();
    let (_, report) = BertClassifier::load(tiny.path(), labels(&["a", "b"])).unwrap();
    let fresh =
        ["bert.pooler.dense.bias", "bert.pooler.dense.weight", "classifier.bias", "classifier.weight"];
    assert_eq!(report.fresh, fresh);
    assert_eq!(report.ignored, ["cls.predictions.bias", "embeddings.position_ids"]);
}

#[test]
fn a_sharded_model_loads() {
    let tiny = Tiny::classifier();
    let whole = logits(&tiny.write().load());
    shard(&tiny, |name| if name.contains("layer.1") { "model-2.safetensors" } else { "model-1.safetensors" });
    assert_eq!(logits(&tiny.load()), whole);
}

#[test]
fn sixteen_bit_files_are_widened() {
    let tiny = Tiny::classifier();
    let exact = logits(&tiny.write().load());
    for kind in [Kind::BFloat16, Kind::Half] {
        let (narrow, _) = BertClassifier::load(tiny.path(), LoadOptions { dtype: kind, ..own() }).unwrap();
        let saved = tempfile::tempdir().unwrap();
        narrow.save(saved.path()).unwrap();
        let (model, _) = BertClassifier::load(saved.path(), own()).unwrap();
        let variables = model.var_store().variables();
        assert!(variables.values().all(|variable| variable.kind() == Kind::Float && variable.is_leaf()));
        // Only the weights are rounded.
        assert_within(&logits(&model), &exact, 2.0 * epsilon(kind), format!("{kind:?}"));
    }
}

#[test]
fn a_file_that_is_not_aligned_loads() {
    let tiny = Tiny::classifier();
    let exact = logits(&tiny.write().load());
    let path = tiny.file("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    // One more space in the header moves every tensor by a byte.
    let mut shifted = (length + 1).to_le_bytes().to_vec();
    let (header, data) = bytes[8..].split_at(usize::try_from(length).unwrap());
    shifted.extend_from_slice(header);
    shifted.push(b' ');
    shifted.extend_from_slice(data);
    std::fs::write(&path, shifted).unwrap();
    assert_eq!(logits(&tiny.load()), exact);
}

#[test]
fn the_labels_of_the_model_and_of_the_user() {
    let mut tiny = Tiny::classifier();
    tiny.write();
    let names = |options| BertClassifier::load(tiny.path(), options).unwrap().0.labels().to_vec();
    assert_eq!(names(own()), ["no", "yes"]);
    assert_eq!(names(labels(&["no", "yes"])), ["no", "yes"]);
    assert_eq!(names(LoadOptions { new_head: true, ..labels(&["x", "y", "z"]) }), ["x", "y", "z"]);
    for wrong in [&["yes", "no"][..], &["no"], &["a", "b"]] {
        let error = tiny.error(labels(wrong));
        assert!(error.contains("2 labels (no, yes)") && error.contains(&wrong.join(", ")), "{error}");
    }
    // Without names any two will do, and Hugging Face's default names are used otherwise.
    tiny.config.as_object_mut().unwrap().remove("id2label");
    tiny.write();
    let names = |options| BertClassifier::load(tiny.path(), options).unwrap().0.labels().to_vec();
    assert_eq!(names(own()), ["LABEL_0", "LABEL_1"]);
    assert_eq!(names(labels(&["a", "b"])), ["a", "b"]);
    tiny.config["id2label"] = json!({"0": "a", "1": "b", "2": "c"});
    let error = tiny.write().error(own());
    assert!(error.contains("\"id2label\" has 3 labels, the classifier in the weights has 2"), "{error}");
    let base = Tiny::base();
    let error = base.write().error(own());
    assert!(error.contains("no labels of its own"), "{error}");
}

#[test]
fn configurations_that_are_refused() {
    struct Case {
        key: &'static str,
        value: serde_json::Value,
        expected: &'static str,
    }
    let cases = [
        Case {
            key: "model_type",
            value: json!("llama"),
            expected: "\"model_type\" is \"llama\", which is not supported; supported: bert",
        },
        Case {
            key: "model_type",
            value: json!(null),
            expected: "\"model_type\": the key is missing; expected one of: bert",
        },
        Case {
            key: "position_embedding_type",
            value: json!("relative_key"),
            expected: "\"relative_key\", which is not supported; supported: absolute",
        },
        Case {
            key: "is_decoder",
            value: json!(true),
            expected: "\"is_decoder\" is true, which is not supported; supported: false",
        },
        Case { key: "add_cross_attention", value: json!(true), expected: "\"add_cross_attention\" is true" },
        Case {
            key: "hidden_act",
            value: json!("xielu"),
            expected: "\"hidden_act\" is \"xielu\", which is not supported; supported: gelu,",
        },
        Case { key: "hidden_act", value: json!(3), expected: "\"hidden_act\": expected a string, found 3" },
        Case { key: "hidden_size", value: json!(null), expected: "\"hidden_size\": the key is missing" },
        Case {
            key: "hidden_size",
            value: json!(-8),
            expected: "\"hidden_size\": expected a whole number from 1 to",
        },
        Case { key: "num_attention_heads", value: json!(3), expected: "3 does not divide \"hidden_size\" 8" },
        Case {
            key: "hidden_dropout_prob",
            value: json!(1.5),
            expected: "expected a probability of at least 0 and below 1, found 1.5",
        },
        Case {
            key: "layer_norm_eps",
            value: json!("x"),
            expected: "\"layer_norm_eps\": expected a number above 0, found \"x\"",
        },
        Case {
            key: "pad_token_id",
            value: json!(40),
            expected: "\"pad_token_id\": expected an id below 40, found 40",
        },
        Case { key: "id2label", value: json!({"0": "a", "2": "b"}), expected: "the ids have a gap" },
        Case { key: "id2label", value: json!({"0": "a", "1": "a"}), expected: "a name occurs twice" },
    ];
    for Case { key, value, expected } in cases {
        let mut tiny = Tiny::classifier();
        tiny.config[key] = value;
        let error = tiny.write().error(own());
        assert!(error.contains(expected) && error.contains("config.json"), "{key}: {error}");
    }
    let tiny = Tiny::classifier();
    assert!(tiny.error(own()).contains("cannot read"));
    std::fs::write(tiny.file("config.json"), "{").unwrap();
    assert!(tiny.error(own()).contains("config.json is not valid JSON"));
    let error = tiny.error(LoadOptions { dtype: Kind::Int, ..own() });
    assert!(error.contains("cannot be loaded as Int"), "{error}");
}

#[test]
fn damaged_weight_files_are_named() {
    let tiny = Tiny::classifier();
    tiny.write();
    let path = tiny.file("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    let half = whole.len() / 2;
    let garbage = b"this is not a model at all, just some text".to_vec();
    for bytes in
        [whole[..half].to_vec(), whole[..whole.len() - 1].to_vec(), whole[..4].to_vec(), Vec::new(), garbage]
    {
        std::fs::write(&path, &bytes).unwrap();
        let error = tiny.error(own());
        let expected = format!("model.safetensors ({} bytes) is not a whole safetensors file", bytes.len());
        assert!(error.contains(&expected), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(tiny.error(own()).contains("has neither model.safetensors nor"));
    std::fs::write(tiny.file("pytorch_model.bin"), "").unwrap();
    assert!(tiny.error(own()).contains("pytorch_model.bin is a Python pickle"));
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let mut tiny = Tiny::classifier();
    tiny.add("bert.encoder.layer.0.output.dense.weight", &[12, 8]);
    let error = tiny.write().error(own());
    let expected =
        "tensor \"bert.encoder.layer.0.output.dense.weight\" has shape [12, 8], config.json asks for [8, 12]";
    assert!(error.contains(expected), "{error}");

    let mut tiny = Tiny::classifier();
    tiny.tensors.remove("bert.encoder.layer.1.attention.self.query.bias");
    tiny.tensors.remove("bert.pooler.dense.bias");
    let error = tiny.write().error(own());
    let expected = "lacks 2 of the model's tensors: \"bert.encoder.layer.1.attention.self.query.bias\", \"bert.pooler.dense.bias\"";
    assert!(error.contains(expected), "{error}");

    let mut tiny = Tiny::classifier();
    tiny.add("bert.encoder.layer.2.output.dense.weight", &[1]);
    let error = tiny.write().error(own());
    assert!(error.contains("has 1 tensors that this model does not have: \"bert.encoder.layer.2"), "{error}");
}

#[test]
fn an_index_that_is_wrong_is_refused() {
    let cases = [
        ("../model.safetensors", "is outside the model directory"),
        ("/etc/passwd", "is outside the model directory"),
        ("a/../../b", "is outside the model directory"),
        ("", "is outside the model directory"),
        ("gone.safetensors", "which does not exist"),
        ("empty.safetensors", "which does not have it"),
    ];
    for (file, expected) in cases {
        let tiny = Tiny::classifier();
        tiny.write_config();
        shard(&tiny, |_| "model-1.safetensors");
        write_tensors(&tiny.file("empty.safetensors"), &Default::default());
        let index = tiny.file("model.safetensors.index.json");
        let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
        json["weight_map"]["classifier.bias"] = file.into();
        std::fs::write(&index, json.to_string()).unwrap();
        let error = tiny.error(own());
        assert!(error.contains("index.json") && error.contains(expected), "{file}: {error}");
    }
}

#[test]
fn a_link_that_an_index_names_is_followed() {
    let outside = tempfile::tempdir().unwrap();
    for leads_out in [false, true] {
        let tiny = Tiny::classifier();
        tiny.write_config();
        shard(
            &tiny,
            |name| if name.contains("pooler") { "model-1.safetensors" } else { "model-2.safetensors" },
        );
        let target = if leads_out { outside.path().join("x") } else { tiny.file("x") };
        std::fs::rename(tiny.file("model-1.safetensors"), &target).unwrap();
        std::os::unix::fs::symlink(&target, tiny.file("model-1.safetensors")).unwrap();
        BertClassifier::load(tiny.path(), own()).unwrap();
    }
}

/// Replaces model.safetensors by the files that `place` names, with an index.
fn shard(tiny: &Tiny, place: fn(&str) -> &'static str) {
    let _ = std::fs::remove_file(tiny.file("model.safetensors"));
    let mut files: std::collections::BTreeMap<&str, crate::support::Tensors> = Default::default();
    let mut map = serde_json::Map::new();
    for (name, tensor) in &tiny.tensors {
        map.insert(name.clone(), place(name).into());
        files.entry(place(name)).or_default().insert(name.clone(), tensor.clone());
    }
    for (file, tensors) in files {
        write_tensors(&tiny.file(file), &tensors);
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    std::fs::write(tiny.file("model.safetensors.index.json"), index.to_string()).unwrap();
}
