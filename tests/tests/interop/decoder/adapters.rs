//! Adapters, read and written by PEFT.

use std::path::PathBuf;

use grades_lora::{Adapters, Init, LoraConfig};
use grades_models::decoder::{Decoder, LoadOptions};
use grades_tests::tolerance::TINY_DECODER;
use tch::{Kind, Tensor};

use super::models::{assert_logits, batch, difference, folder, load, names, reference};
use crate::python::{script, skipped};

fn logits(model: &Decoder) -> Tensor {
    tch::no_grad(|| model.forward(&batch().0)).unwrap()
}

#[test]
fn adapters_of_peft_give_its_logits_also_when_merged() {
    if skipped() {
        return;
    }
    for name in names() {
        let reference = reference(name);
        let adapter = folder().join(format!("{name}-adapter"));
        let (mut model, mut adapters) =
            Decoder::load_adapted(&folder().join(name), &adapter, LoadOptions::default()).unwrap();
        let tolerance = TINY_DECODER.tolerance(Kind::Float);
        assert_logits(&logits(&model), &reference["adapted"], tolerance, name);
        let effect = difference(&reference["adapted"], &reference["logits"]);
        assert!(effect > 0.1, "{name}: the adapter changes nothing");
        let refused = model.save(&folder().join("never")).unwrap_err().to_string();
        assert!(refused.starts_with("there are adapters in the model"), "{refused}");
        let (layers, variables) = model.layers_mut();
        adapters.merge_and_unload(layers, variables).unwrap();
        assert_logits(&logits(&model), &reference["adapted"], tolerance, &format!("{name}, merged"));
    }
}

#[test]
fn adapters_with_an_embedding_or_output_matrix_are_tied_or_not_as_in_peft() {
    if skipped() {
        return;
    }
    let tied = names().into_iter().filter(|name| name.ends_with("tied") || *name == "llama-biases");
    let mut arguments = vec![PathBuf::from("adapted")];
    let mut ours = Vec::new();
    let ways: [(&[&str], bool); 4] = [
        (&["embed_tokens"], false),
        (&["lm_head"], false),
        (&["embed_tokens", "lm_head"], false),
        (&["embed_tokens"], true),
    ];
    for (name, (saved, ensure)) in tied.flat_map(|name| ways.map(|way| (name, way))) {
        let mut model = load(name, LoadOptions::default());
        assert!(model.config().tie_word_embeddings, "{name}");
        let config = LoraConfig::new(2).target_pattern("all-linear").modules_to_save(saved.iter().copied());
        let config = config.ensure_weight_tying(ensure).task_type("CAUSAL_LM");
        model.prepare_for(&config).unwrap();
        let (layers, variables) = model.layers_mut();
        let mut adapters = Adapters::new();
        adapters.add(layers, variables, "default", &config).unwrap();
        let variables = model.var_store().variables();
        for (module, variable) in
            [("embed_tokens", "model.embed_tokens.weight"), ("lm_head", "lm_head.weight")]
        {
            let Some(variable) = variables.get(variable) else {
                assert!(ensure && module == "lm_head", "{name}");
                continue;
            };
            assert_eq!(variable.requires_grad(), saved.contains(&module), "{name}, {module}");
            if variable.requires_grad() {
                let shift = module.len() as f64 / 100.0;
                tch::no_grad(|| variable.shallow_clone().copy_(&(variable * 1.5 + shift)));
            }
        }
        let dir = folder().join(format!("{name}-{}-{ensure}", saved.join("-")));
        adapters.save("default", &dir).unwrap();
        let (again, _) = Decoder::load_adapted(&folder().join(name), &dir, LoadOptions::default()).unwrap();
        assert_eq!(logits(&again), logits(&model), "{name}");
        arguments.extend([folder().join(name), dir.clone()]);
        ours.push((name, dir, logits(&model)));
    }
    assert_eq!(ours.len(), 12);
    script("decoders.py", &arguments.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    for (name, dir, ours) in ours {
        let theirs = Tensor::read_safetensors(dir.join("logits.safetensors")).unwrap().remove(0).1;
        assert_logits(&ours, &theirs, TINY_DECODER.tolerance(Kind::Float), name);
    }
}

#[test]
fn peft_reads_adapters_of_ours() {
    if skipped() {
        return;
    }
    let mut arguments = vec![PathBuf::from("adapted")];
    let mut ours = Vec::new();
    for name in names() {
        let mut model = load(name, LoadOptions::default());
        let config = LoraConfig::new(2)
            .alpha(3.0)
            .init(Init::Random)
            .target_pattern("all-linear")
            .task_type("CAUSAL_LM");
        tch::manual_seed(3);
        let (layers, variables) = model.layers_mut();
        let mut adapters = Adapters::new();
        adapters.add(layers, variables, "default", &config).unwrap();
        let dir = folder().join(format!("{name}-ours"));
        adapters.save("default", &dir).unwrap();
        ours.push((name, dir.clone(), logits(&model)));
        arguments.extend([folder().join(name), dir]);
    }
    script("decoders.py", &arguments.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    for (name, dir, ours) in ours {
        let theirs = Tensor::read_safetensors(dir.join("logits.safetensors")).unwrap().remove(0).1;
        assert_logits(&ours, &theirs, TINY_DECODER.tolerance(Kind::Float), name);
        assert!(difference(&ours, &reference(name)["logits"]) > 1e-2, "{name}: the adapter changes nothing");
    }
}
