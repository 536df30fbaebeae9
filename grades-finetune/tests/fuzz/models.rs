//! Weights: safetensors, whole and sharded, and adapters.

use std::path::{Path, PathBuf};

use grades_lora::{Adapters, LoraConfig};
use grades_models::bert::{BertClassifier, LoadOptions, load_adapted};
use grades_models::decoder::{Decoder, LoadOptions as DecoderOptions};
use serde_json::json;

use crate::driver::{fuzz, refusal};
use crate::tiny::Tiny;
use crate::tiny_decoder::TinyDecoder;

const WORDS: [&str; 8] = [
    "\"F64\"",
    "\"I8\"",
    "[0,",
    "\"data_offsets\":[0,0]",
    "\"shape\":[]",
    "[1048576,1048576]",
    "U64",
    "__metadata__",
];

/// Tries damaged forms of one file of a folder.
fn spoil(
    name: &str,
    counts: (u64, u64),
    path: &Path,
    words: &[&str],
    mut load: impl FnMut() -> Option<String>,
) {
    let whole = std::fs::read(path).unwrap();
    fuzz(name, counts, std::slice::from_ref(&whole), words, |bytes| {
        std::fs::write(path, bytes).unwrap();
        load()
    });
    std::fs::write(path, whole).unwrap();
}

#[test]
fn weights_of_classifiers() {
    let tiny = Tiny::classifier();
    tiny.write_to(tiny.path());
    let load = || refusal(BertClassifier::load(tiny.path(), LoadOptions::default()));
    spoil("bert.safetensors", (40, 15_000), &tiny.file("model.safetensors"), &WORDS, load);
    spoil(
        "bert-whole-config.json",
        (40, 15_000),
        &tiny.file("config.json"),
        &["\"num_hidden_layers\":1000000"],
        load,
    );
}

#[test]
fn weights_of_decoders() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.complete();
    let load = || refusal(Decoder::load(tiny.path(), DecoderOptions::default()));
    spoil("decoder.safetensors", (40, 15_000), &tiny.file("model.safetensors"), &WORDS, load);
    spoil(
        "decoder-whole-config.json",
        (40, 15_000),
        &tiny.file("config.json"),
        &["\"num_hidden_layers\":1000000"],
        load,
    );
}

#[test]
fn weights_in_several_files() {
    let tiny = TinyDecoder::phi3(json!({}));
    tiny.write(4096);
    let load = || {
        refusal(Decoder::load(tiny.path(), DecoderOptions { split_fused: true, ..DecoderOptions::default() }))
    };
    let index = tiny.file("model.safetensors.index.json");
    let words = [
        "../",
        "/etc/passwd",
        "model-00001-of-00002.safetensors",
        "\u{0}",
        "model.safetensors.index.json",
        ".",
    ];
    spoil("index.json", (60, 20_000), &index, &words, load);
    let first = std::fs::read_dir(tiny.path()).unwrap().map(|entry| entry.unwrap().path());
    let first: PathBuf = first.filter(|path| path.to_string_lossy().contains("-of-")).min().unwrap();
    spoil("shard.safetensors", (30, 10_000), &first, &WORDS, load);
}

#[test]
fn adapters() {
    let tiny = Tiny::classifier();
    tiny.write_to(tiny.path());
    let adapter = tiny.file("adapter");
    let (mut model, _) = BertClassifier::load(tiny.path(), LoadOptions::default()).unwrap();
    let config =
        LoraConfig::new(2).target_modules(["query", "dense"]).modules_to_save(["classifier"]).dora(true);
    let mut adapters = Adapters::new();
    let (layers, variables) = model.layers_mut();
    adapters.add(layers, variables, "default", &config).unwrap();
    adapters.save("default", &adapter).unwrap();
    let load = || refusal(load_adapted(tiny.path(), &adapter, LoadOptions::default()).map(drop));
    spoil("adapter.safetensors", (30, 10_000), &adapter.join("adapter_model.safetensors"), &WORDS, load);
    let words = ["\"r\":1000000000", "\"rank_pattern\":{\"query\":1000000000}", "all-linear"];
    spoil("adapter-whole-config.json", (30, 10_000), &adapter.join("adapter_config.json"), &words, load);
}
