//! Directories that others made: what `transformers` reads is read, and what cannot be read is refused with a cure.

use std::path::Path;

use grades_models::decoder::{Decoder, LoadOptions};
use grades_models::{Family, ModelConfig};
use serde_json::{Value, json};
use tch::Tensor;

use crate::tiny_decoder::TinyDecoder;

fn tensors(tiny: &TinyDecoder) -> Vec<(String, Tensor)> {
    Tensor::read_safetensors(tiny.file("model.safetensors")).unwrap()
}

fn write(tiny: &TinyDecoder, tensors: &[(String, Tensor)]) {
    Tensor::write_safetensors(tensors, tiny.file("model.safetensors")).unwrap();
}

fn config_of(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap()
}

#[test]
fn an_output_matrix_in_the_files_counts_though_the_configuration_ties_it() {
    let untied = TinyDecoder::new(json!({}));
    untied.write(u64::MAX);
    let tied = TinyDecoder::new(json!({"tie_word_embeddings": true}));
    std::fs::copy(untied.file("model.safetensors"), tied.file("model.safetensors")).unwrap();
    let (model, report) = tied.load();
    assert!(report.untied && !model.config().tie_word_embeddings);
    let variables = model.var_store().variables();
    assert!(variables["lm_head.weight"].equal(&untied.load().0.var_store().variables()["lm_head.weight"]));
    let saved = tempfile::tempdir().unwrap();
    model.save(saved.path()).unwrap();
    assert_eq!(config_of(saved.path())["tie_word_embeddings"], json!(false));
    let (_, report) = Decoder::load(saved.path(), LoadOptions::default()).unwrap();
    assert!(!report.untied && report.ignored.is_empty());
}

#[test]
fn numbers_that_json_lacks_are_read_and_saved_as_transformers_does() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.write(u64::MAX);
    let text = tiny.config.to_string();
    let text = format!("{}, \"max_length\": Infinity, \"low\": [-Infinity, NaN]}}", &text[..text.len() - 1]);
    std::fs::write(tiny.file("config.json"), text).unwrap();
    std::fs::write(tiny.file("generation_config.json"), "{\"eos_token_id\": 7, \"x\": NaN}").unwrap();
    let (model, _) = tiny.load();
    assert_eq!(model.stop_ids(), [7]);
    let saved = tempfile::tempdir().unwrap();
    model.save(saved.path()).unwrap();
    let config = config_of(saved.path());
    assert_eq!(config["max_length"], json!({"__float__": "Infinity"}));
    assert_eq!(config["low"], json!([{"__float__": "-Infinity"}, {"__float__": "NaN"}]));

    let text = tiny.config.to_string().replace("\"rms_norm_eps\":1e-6", "\"rms_norm_eps\":NaN");
    std::fs::write(tiny.file("config.json"), text).unwrap();
    assert!(
        tiny.error().ends_with("\"rms_norm_eps\": expected a number above 0, found NaN"),
        "{}",
        tiny.error()
    );
}

#[test]
fn the_configuration_of_a_directory_is_read_once_for_any_family() {
    let tiny = TinyDecoder::phi3(json!({}));
    let config = ModelConfig::load(tiny.path()).unwrap();
    assert_eq!(config.family(), Family::of(tiny.path()).unwrap());
    assert_eq!((config.max_positions(), config.vocab_size()), (64, 40));
}

#[test]
fn full_precision_weights_are_saved_without_a_quantization() {
    let tiny = TinyDecoder::new(json!({"quantization_config": {"quant_method": "bitsandbytes"}}));
    tiny.write(u64::MAX);
    assert_eq!(config_of(tiny.path()).get("quantization_config"), None);
    tiny.write_config();
    let (model, _) = tiny.load();
    let saved = tempfile::tempdir().unwrap();
    model.save(saved.path()).unwrap();
    assert_eq!(config_of(saved.path()).get("quantization_config"), None);
}

#[test]
fn quantized_weights_are_refused_by_their_name() {
    let name = "model.layers.0.mlp.up_proj.weight";
    let byte = |size: &[i64]| Tensor::zeros(size, (tch::Kind::Uint8, tch::Device::Cpu));
    struct Case {
        method: &'static str,
        change: fn(&str) -> String,
        tensor: Tensor,
    }
    let spoil = [
        Case { method: "bitsandbytes", change: |name| name.to_owned(), tensor: byte(&[24, 16]) },
        Case { method: "bitsandbytes", change: |name| name.to_owned(), tensor: byte(&[192, 1]) },
        Case { method: "bitsandbytes", change: |name| format!("{name}.absmax"), tensor: byte(&[6]) },
        Case { method: "gptq", change: |name| name.replace("weight", "qweight"), tensor: byte(&[3]) },
    ];
    for Case { method, change, tensor } in spoil {
        let tiny = TinyDecoder::new(json!({"quantization_config": {"quant_method": method}}));
        tiny.write(u64::MAX).write_config();
        let mut all = tensors(&tiny);
        all.retain(|(known, _)| *known != change(name));
        all.push((change(name), tensor));
        write(&tiny, &all);
        let error = tiny.error();
        let expected = format!(
            "\"quantization_config\" ({method}): quantised weights are not supported; use the original model"
        );
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn refusals_name_the_cure() {
    let tiny = || {
        let tiny = TinyDecoder::new(json!({}));
        tiny.write(u64::MAX);
        tiny
    };
    for (prefix, cure) in [
        ("module.", "save the model inside, model.module.save_pretrained(DIRECTORY)"),
        ("_orig_mod.", "save the model inside, model._orig_mod.save_pretrained(DIRECTORY)"),
    ] {
        let tiny = tiny();
        let wrapped = tensors(&tiny).into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor));
        write(&tiny, &wrapped.collect::<Vec<_>>());
        assert!(tiny.error().contains(&format!("begin with \"{prefix}\"")), "{}", tiny.error());
        assert!(tiny.error().ends_with(cure), "{}", tiny.error());
    }

    let headless = tiny();
    let rest: Vec<_> = tensors(&headless).into_iter().filter(|(name, _)| name != "lm_head.weight").collect();
    write(&headless, &rest);
    let cure =
        "write \"tie_word_embeddings\": true in config.json; a base model without head cannot predict tokens";
    assert!(headless.error().contains(cure), "{}", headless.error());

    let mut grown = tiny();
    grown.config["vocab_size"] = json!(32);
    grown.write_config();
    let cure = "the vocabulary was resized: set \"vocab_size\" to 40, or save model and configuration together after \
                model.resize_token_embeddings()";
    assert!(grown.error().ends_with(cure), "{}", grown.error());

    let pointer = tiny();
    let text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n";
    std::fs::write(pointer.file("model.safetensors"), text).unwrap();
    assert!(
        pointer.error().contains("is a Git LFS pointer, not the weights: run `git lfs pull`"),
        "{}",
        pointer.error()
    );
}

#[test]
fn what_is_no_model_directory_is_named() {
    let error = |dir: &Path| {
        let of = Family::of(dir).unwrap_err().to_string();
        assert_eq!(ModelConfig::load(dir).unwrap_err().to_string(), of);
        assert_eq!(Decoder::load(dir, LoadOptions::default()).unwrap_err().to_string(), of);
        of
    };
    let hub = error(Path::new("somebody/a-model"));
    assert!(hub.starts_with("cannot read somebody/a-model/config.json: "), "{hub}");
    assert!(hub.ends_with("huggingface-cli download somebody/a-model --local-dir models/a-model"), "{hub}");

    let dir = tempfile::tempdir().unwrap();
    assert!(!error(&dir.path().join("gone")).contains("huggingface-cli"));
    let root = dir.path().join("models--a--b");
    std::fs::create_dir_all(root.join("snapshots/abc")).unwrap();
    std::fs::create_dir_all(root.join("refs")).unwrap();
    std::fs::write(root.join("refs/main"), "abc").unwrap();
    let found = error(&root);
    assert!(
        found.ends_with(&format!("name the snapshot in it, {}/snapshots/abc", root.display())),
        "{found}"
    );
    let found = error(dir.path());
    assert!(
        found.contains("it is a Hub cache") && found.ends_with("models--a--b/snapshots/REVISION"),
        "{found}"
    );
    let adapter = dir.path().join("adapter");
    std::fs::create_dir(&adapter).unwrap();
    std::fs::write(adapter.join("adapter_config.json"), "{}").unwrap();
    assert!(error(&adapter).ends_with("it is an adapter: name its base model here"));
}

#[test]
fn shards_may_be_links() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.write(8_000);
    let elsewhere = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(tiny.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "safetensors") {
            let target = elsewhere.path().join(path.file_name().unwrap());
            std::fs::rename(&path, &target).unwrap();
            std::os::unix::fs::symlink(&target, &path).unwrap();
        }
    }
    assert_eq!(tiny.load().1, Default::default());
}

#[test]
fn weights_that_are_no_regular_file_are_refused() {
    let tiny = TinyDecoder::new(json!({}));
    std::fs::create_dir(tiny.file("model.safetensors")).unwrap();
    assert!(tiny.error().ends_with("model.safetensors: it is not a regular file"), "{}", tiny.error());
}
