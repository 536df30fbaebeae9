//! Weight files: whole and sharded, damaged, and of another model.

use grades_models::Error;
use grades_models::decoder::{Decoder, LoadOptions};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::tiny_decoder::TinyDecoder;

fn names(tiny: &TinyDecoder) -> Vec<String> {
    let entries = std::fs::read_dir(tiny.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn sharded() -> TinyDecoder {
    let tiny = TinyDecoder::new(json!({}));
    tiny.write(8_000);
    tiny
}

fn index(tiny: &TinyDecoder) -> Value {
    serde_json::from_slice(&std::fs::read(tiny.file("model.safetensors.index.json")).unwrap()).unwrap()
}

fn same(a: &Decoder, b: &Decoder) {
    let (a, b) = (a.var_store().variables(), b.var_store().variables());
    assert_eq!(a.len(), b.len());
    for (name, variable) in a {
        assert!(variable.equal(&b[&name]), "{name}");
    }
}

#[test]
fn shards_are_filled_up_to_the_limit_and_read_back() {
    let tiny = sharded();
    let index = index(&tiny);
    let shards: std::collections::BTreeSet<&str> =
        index["weight_map"].as_object().unwrap().values().map(|file| file.as_str().unwrap()).collect();
    assert!(shards.len() > 2, "{shards:?}");
    for shard in &shards {
        let size = std::fs::metadata(tiny.file(shard)).unwrap().len();
        assert!(size < 8_000 + 2_000, "{shard} has {size} bytes"); // the header comes on top
    }
    let (model, report) = tiny.load();
    assert_eq!(report, Default::default());
    same(&model, &tiny.draw());
    let parameters: usize = model.var_store().variables().values().map(Tensor::numel).sum();
    assert_eq!(index["metadata"], json!({"total_parameters": parameters, "total_size": 4 * parameters}));
}

#[test]
fn a_save_removes_the_weights_that_it_replaces() {
    let tiny = sharded();
    std::fs::write(tiny.file("model-notes.txt"), "mine").unwrap();
    tiny.write(u64::MAX);
    assert_eq!(names(&tiny), ["config.json", "model-notes.txt", "model.safetensors"]);
    same(&tiny.load().0, &tiny.draw());
    tiny.write(20_000);
    assert!(!names(&tiny).contains(&"model.safetensors".to_owned()));
    same(&tiny.load().0, &tiny.draw());
}

#[test]
fn the_files_of_the_tokenizer_go_along_unchanged() {
    let tiny = TinyDecoder::new(json!({}));
    let files = [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
        "merges.txt",
    ];
    for file in files {
        std::fs::write(tiny.file(file), format!("{{\"bytes of\":  \"{file}\"}}\r\n")).unwrap();
    }
    std::fs::write(tiny.file("README.md"), "not part of a model").unwrap();
    tiny.write(u64::MAX);
    let saved = tempfile::tempdir().unwrap();
    let dir = saved.path().join("run/model");
    tiny.load().0.save(&dir).unwrap();
    for file in files {
        assert_eq!(std::fs::read(dir.join(file)).unwrap(), std::fs::read(tiny.file(file)).unwrap());
    }
    assert!(!dir.join("README.md").exists());
    let config: Value = serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["a_key_of_the_user"], json!([1, 2]));
}

#[test]
fn a_copy_of_a_tied_matrix_is_ignored_and_a_missing_untied_one_refused() {
    let untied = TinyDecoder::new(json!({}));
    let tied = TinyDecoder::new(json!({"tie_word_embeddings": true}));
    tied.write(u64::MAX);
    let mut tensors = Tensor::read_safetensors(tied.file("model.safetensors")).unwrap();
    let embedding = tensors.iter().find(|(name, _)| name == "model.embed_tokens.weight").unwrap().1.copy();
    tensors.push(("lm_head.weight".to_owned(), embedding));
    Tensor::write_safetensors(&tensors, tied.file("model.safetensors")).unwrap();
    let (model, report) = tied.load();
    assert_eq!(report.ignored, ["lm_head.weight"]);
    assert!(!report.untied);
    assert!(!model.var_store().variables().contains_key("lm_head.weight"));

    tied.write(u64::MAX);
    std::fs::copy(tied.file("model.safetensors"), untied.file("model.safetensors")).unwrap();
    assert!(
        untied.error().contains("lacks 1 of the model's tensors: \"lm_head.weight\""),
        "{}",
        untied.error()
    );
}

#[test]
fn an_output_matrix_alone_is_the_tied_embedding() {
    for prefix in ["model.", ""] {
        let tiny = TinyDecoder::new(json!({"tie_word_embeddings": true}));
        tiny.write(u64::MAX);
        let (whole, _) = tiny.load();
        let tensors = Tensor::read_safetensors(tiny.file("model.safetensors")).unwrap();
        let renamed = tensors.into_iter().map(|(name, tensor)| match name.as_str() {
            "model.embed_tokens.weight" => ("lm_head.weight".to_owned(), tensor),
            name => (name.replacen("model.", prefix, 1), tensor),
        });
        let renamed: Vec<(String, Tensor)> = renamed.collect();
        Tensor::write_safetensors(&renamed, tiny.file("model.safetensors")).unwrap();
        let (model, report) = tiny.load();
        assert!(report.ignored.is_empty() && !report.untied);
        let embedding = |model: &Decoder| model.var_store().variables()["model.embed_tokens.weight"].copy();
        assert_eq!(embedding(&model), embedding(&whole), "{prefix:?}");
    }
}

#[test]
fn parts_of_fused_matrices_are_reported_and_split_when_asked() {
    let tiny = TinyDecoder::phi3(json!({}));
    tiny.write(u64::MAX);
    let (whole, report) = tiny.load();
    assert_eq!(report.fused.len(), 4);
    let part = |name: &str, rows| (format!("model.layers.1.self_attn.{name}.weight"), rows);
    assert_eq!(report.fused[2].name, "model.layers.1.self_attn.qkv_proj.weight");
    assert_eq!(report.fused[2].parts, [part("q_proj", 16), part("k_proj", 8), part("v_proj", 8)]);

    let options = LoadOptions { split_fused: true, ..LoadOptions::default() };
    let (split, _) = Decoder::load(tiny.path(), options).unwrap();
    let (whole, parts) = (whole.var_store().variables(), split.var_store().variables());
    assert!(parts.keys().all(|name| !name.contains("qkv_proj") && !name.contains("gate_up_proj")));
    for matrix in report.fused {
        let rows: Vec<&Tensor> = matrix.parts.iter().map(|(part, _)| &parts[part]).collect();
        assert!(Tensor::cat(&rows, 0).equal(&whole[&matrix.name]), "{}", matrix.name);
    }
    let saved = tempfile::tempdir().unwrap();
    split.save(saved.path()).unwrap();
    let saved = std::fs::read(saved.path().join("model.safetensors")).unwrap();
    assert_eq!(saved, std::fs::read(tiny.file("model.safetensors")).unwrap());
}

#[test]
fn a_kind_is_converted_while_reading() {
    let tiny = sharded();
    for kind in [Kind::BFloat16, Kind::Half, Kind::Double] {
        let (model, _) =
            Decoder::load(tiny.path(), LoadOptions { dtype: kind, ..LoadOptions::default() }).unwrap();
        for (name, variable) in tiny.draw().var_store().variables() {
            assert!(model.var_store().variables()[&name].equal(&variable.to_kind(kind)), "{name}");
        }
    }
    let options = LoadOptions { dtype: Kind::Int64, ..LoadOptions::default() };
    let error = Decoder::load(tiny.path(), options).unwrap_err().to_string();
    assert_eq!(error, "a model cannot be loaded as Int64; supported: Float, Half, BFloat16, Double");
}

#[test]
fn a_shard_that_is_missing_is_named() {
    let tiny = sharded();
    let shard = index(&tiny)["weight_map"]["lm_head.weight"].as_str().unwrap().to_owned();
    std::fs::remove_file(tiny.file(&shard)).unwrap();
    let error = tiny.error();
    assert!(error.contains("model.safetensors.index.json: names "), "{error}");
    assert!(error.contains(&format!("\"{shard}\" for \"")), "{error}");
    assert!(error.ends_with("which does not exist"), "{error}");
}

#[test]
fn an_index_that_is_wrong_is_told_how() {
    let tiny = sharded();
    let good = index(&tiny);
    let with = |name: &str, file: Value| {
        let mut index = good.clone();
        index["weight_map"][name] = file;
        std::fs::write(tiny.file("model.safetensors.index.json"), index.to_string()).unwrap();
        tiny.error()
    };
    let error = with("model.norm.weight", json!("model-00009-of-00003.safetensors"));
    assert!(
        error.ends_with(
            "names \"model-00009-of-00003.safetensors\" for \"model.norm.weight\", which does not exist"
        ),
        "{error}"
    );
    let error = with("model.norm.weight", json!("../model.safetensors"));
    assert!(
        error
            .ends_with("\"../model.safetensors\" is outside the model directory; expected a plain file name"),
        "{error}"
    );
    let other = good["weight_map"]["lm_head.weight"].clone();
    assert_ne!(other, good["weight_map"]["model.norm.weight"]);
    let error = with("model.norm.weight", other);
    assert!(error.contains("says that \"model.norm.weight\" is in "), "{error}");
    std::fs::write(tiny.file("model.safetensors.index.json"), "{").unwrap();
    assert!(tiny.error().contains("is not valid JSON"));
}

#[test]
fn tensors_of_another_model_are_named() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.write(u64::MAX);
    let spoil = |key: &str, value: Value| {
        let mut other = TinyDecoder::new(json!({}));
        other.config[key] = value;
        other.write_config();
        std::fs::copy(tiny.file("model.safetensors"), other.file("model.safetensors")).unwrap();
        other.error()
    };
    let error = spoil("intermediate_size", json!(20));
    assert!(
        error.ends_with(
            "tensor \"model.layers.0.mlp.up_proj.weight\" has shape [24, 16], config.json asks for [20, 16]"
        ),
        "{error}"
    );
    let error = spoil("num_hidden_layers", json!(3));
    assert!(
        error.contains("lacks 9 of the model's tensors: \"model.layers.2.input_layernorm.weight\", "),
        "{error}"
    );
    let error = spoil("num_hidden_layers", json!(1));
    assert!(error.contains("\"model.layers.1.input_layernorm.weight\""), "{error}");
    let error = spoil("num_hidden_layers", json!(1_000_000_000));
    assert!(
        error.contains("num_hidden_layers") && error.contains("at most 4096, found 1000000000"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_cut_off_is_found_out() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.write(u64::MAX);
    let bytes = std::fs::read(tiny.file("model.safetensors")).unwrap();
    for length in [0, 5, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(tiny.file("model.safetensors"), &bytes[..length]).unwrap();
        let error = Decoder::load(tiny.path(), LoadOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. } | Error::Io { .. }), "{length}: {error}");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
}
