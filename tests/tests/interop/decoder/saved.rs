//! Directories that we save, read by transformers.

use std::path::PathBuf;

use grades_models::decoder::{Decoder, LoadOptions};
use grades_tests::tolerance::TINY_DECODER;
use tch::{Kind, Tensor};

use super::models::{assert_logits, folder, load, names, reference};
use crate::python::{script, skipped};

#[test]
fn transformers_reads_what_we_save() {
    if skipped() {
        return;
    }
    let mut saved: Vec<(&str, PathBuf)> = Vec::new();
    for name in names() {
        for (split_fused, shard) in [(false, u64::MAX), (true, 20_000)] {
            let model = load(name, LoadOptions { split_fused, ..LoadOptions::default() });
            let dir = folder().join(format!("saved-{name}-{split_fused}"));
            model.save_sharded(&dir, shard).unwrap();
            assert_eq!(dir.join("model.safetensors.index.json").exists(), shard < u64::MAX, "{name}");
            let (again, report) = Decoder::load(&dir, LoadOptions::default()).unwrap();
            assert_eq!(report.ignored, [""; 0], "{name}");
            let (tokens, _) = super::models::batch();
            let logits = |model: &Decoder| tch::no_grad(|| model.forward(&tokens)).unwrap();
            assert_eq!(logits(&again), logits(&load(name, LoadOptions::default())), "{name}");
            saved.push((name, dir));
        }
    }
    let arguments =
        std::iter::once(std::path::Path::new("read")).chain(saved.iter().map(|(_, dir)| dir.as_path()));
    script("decoders.py", &arguments.collect::<Vec<_>>());
    for (name, dir) in saved {
        let theirs = Tensor::read_safetensors(dir.join("logits.safetensors")).unwrap().remove(0).1;
        assert_logits(&theirs, &reference(name)["logits"], TINY_DECODER.tolerance(Kind::Float), name);
    }
}

#[test]
fn a_model_keeps_its_kind_and_the_form_of_its_configuration() {
    if skipped() {
        return;
    }
    let model = load("qwen3-tied", LoadOptions { dtype: Kind::BFloat16, ..LoadOptions::default() });
    let dir = folder().join("saved-bf16");
    model.save(&dir).unwrap();
    let original = folder().join("qwen3-tied");
    let config = |dir: &std::path::Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap()
    };
    let (mut ours, theirs) = (config(&dir), config(&original));
    assert_eq!((&ours["dtype"], &ours["torch_dtype"]), (&"bfloat16".into(), &"bfloat16".into()));
    ours.as_object_mut().unwrap().remove("dtype");
    assert_eq!(ours, theirs);
    let generation = |dir: &std::path::Path| std::fs::read(dir.join("generation_config.json")).unwrap();
    assert_eq!(generation(&dir), generation(&original));
    let (again, _) =
        Decoder::load(&dir, LoadOptions { dtype: Kind::BFloat16, ..LoadOptions::default() }).unwrap();
    for (name, variable) in model.var_store().variables() {
        assert!(variable.equal(&again.var_store().variables()[&name]), "{name}");
    }
}
