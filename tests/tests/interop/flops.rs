//! FLOPs counted from the shapes are those that PyTorch's `FlopCounterMode` sees.

use std::ops::ControlFlow;
use std::path::Path;

use grades_lora::{Adapters, LoraConfig};
use grades_models::bert::{BertClassifier, LoadOptions};
use grades_models::decoder::{Decoder, Generation, LoadOptions as DecoderOptions};
use grades_models::flops::{BatchShape, Matmuls};
use serde_json::{Value, json};
use tch::nn::VarStore;

use crate::decoder::models::folder;
use crate::python::{run_script, skipped};
use crate::tiny::Tiny;

const SHAPES: [(usize, usize); 2] = [(3, 7), (1, 12)];

/// The frozen parameters of each case, as parts of names. An embedding that trains makes the backward pass reach it.
const FROZEN: [&[&str]; 7] = [
    &[],
    &["query", "q_proj", "up_proj", "intermediate"],
    &["embed"],
    &["embed", "layer.0.", "layers.0."],
    &["embed", "layer.0.", "layers.0.", "value", "v_proj", "down_proj", "output.dense"],
    &["layer.1.", "layers.1.", "pooler", "lm_head", "norm"],
    &[""],
];

fn freeze(store: &VarStore, parts: &[&str]) {
    for (name, variable) in store.variables() {
        if parts.iter().any(|part| name.contains(part)) {
            let _ = variable.set_requires_grad(false);
        }
    }
}

/// Compares cases, each with the products that we count.
fn assert_counted(cases: &[(Value, Matmuls)]) {
    let questions: Vec<&Value> = cases.iter().map(|(question, _)| question).collect();
    let packages = ["torch", "transformers", "peft"];
    let answers = run_script("tests/python/flops.py", &packages, &json!(questions));
    let mut seen = std::collections::BTreeSet::new();
    for ((question, matmuls), answer) in cases.iter().zip(answers.as_array().unwrap()) {
        let [rows, length] = ["rows", "length"].map(|key| question[key].as_u64().unwrap() as usize);
        // transformers computes the logits of all positions.
        let batch = BatchShape::new(rows, length, rows * length);
        let ours = (matmuls.forward(batch), matmuls.backward(batch));
        let theirs = ["forward", "backward"].map(|key| u128::from(answer[key].as_u64().unwrap()));
        assert_eq!(ours, theirs.into(), "{question}");
        assert!(ours.0 > 0);
        seen.insert(ours);
    }
    assert!(seen.len() > cases.len() / 2, "the cases are too much alike: {seen:?}");
}

fn question(
    model: &Path,
    class: &str,
    shape: (usize, usize),
    frozen: &[&str],
    lora: Value,
    checkpointing: bool,
) -> Value {
    json!({"model": model, "class": class, "rows": shape.0, "length": shape.1, "frozen": frozen, "lora": lora,
           "checkpointing": checkpointing, "answers": 0})
}

#[test]
fn of_a_classifier() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    Tiny::classifier().write_to(dir.path());
    let mut cases = Vec::new();
    for shape in SHAPES {
        for frozen in FROZEN {
            let (model, _) = BertClassifier::load(dir.path(), LoadOptions::default()).unwrap();
            freeze(model.var_store(), frozen);
            let class = "BertForSequenceClassification";
            cases.push((question(dir.path(), class, shape, frozen, Value::Null, false), model.matmuls()));
        }
    }
    assert_counted(&cases);
}

#[test]
fn of_a_classifier_with_adapters() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    Tiny::classifier().write_to(dir.path());
    let lora = json!({"r": 3, "lora_alpha": 5, "target_modules": ["query", "value", "dense"], "lora_dropout": 0.1,
                      "modules_to_save": ["classifier"], "task_type": "SEQ_CLS"});
    let config = LoraConfig::new(3)
        .alpha(5.0)
        .target_modules(["query", "value", "dense"])
        .modules_to_save(["classifier"]);
    // Whole adapters, one side of them, and the bottom block's.
    let frozen: [&[&str]; 5] =
        [&[], &["lora_A"], &["query.lora", "dense.lora"], &["layer.0."], &["value.lora_B"]];
    let mut cases = Vec::new();
    for shape in SHAPES {
        for frozen in frozen {
            let (mut model, _) = BertClassifier::load(dir.path(), LoadOptions::default()).unwrap();
            let (layers, variables) = model.layers_mut();
            Adapters::new().add(layers, variables, "default", &config).unwrap();
            freeze(model.var_store(), frozen);
            let class = "BertForSequenceClassification";
            cases.push((question(dir.path(), class, shape, frozen, lora.clone(), false), model.matmuls()));
        }
    }
    assert_counted(&cases);
}

#[test]
fn of_answers_with_kept_keys_and_values() {
    if skipped() {
        return;
    }
    let (mut questions, mut ours) = (Vec::new(), Vec::new());
    // Not with a window: there transformers drops keys that we keep and mask.
    for (name, class) in [("llama", "LlamaForCausalLM"), ("phi3", "Phi3ForCausalLM")] {
        let dir = folder().join(name);
        let (model, _) = Decoder::load(&dir, DecoderOptions::default()).unwrap();
        for (shape, tokens) in [(SHAPES[0], 4), (SHAPES[1], 1), (SHAPES[1], 9)] {
            let mut case = question(&dir, class, shape, &[], Value::Null, false);
            case["answers"] = json!(tokens);
            questions.push(case);
            let prompts = vec![vec![5; shape.1]; shape.0];
            let options = Generation { max_new_tokens: tokens, stop: Vec::new(), batch_size: 8 };
            let (matmuls, mut flops) = (model.matmuls(false), 0);
            let mut count = |pass| {
                flops += matmuls.forward(pass);
                ControlFlow::Continue(())
            };
            model.generate_observed(&prompts, &options, &mut count).unwrap();
            ours.push(flops);
        }
    }
    let packages = ["torch", "transformers", "peft"];
    let answers = run_script("tests/python/flops.py", &packages, &json!(questions));
    for ((question, ours), answer) in questions.iter().zip(ours).zip(answers.as_array().unwrap()) {
        assert_eq!(json!(ours), answer["forward"], "{question}");
    }
}

#[test]
fn of_decoders_with_and_without_checkpointing() {
    if skipped() {
        return;
    }
    let mut cases = Vec::new();
    for (name, class) in
        [("llama", "LlamaForCausalLM"), ("qwen3", "Qwen3ForCausalLM"), ("phi3", "Phi3ForCausalLM")]
    {
        let dir = folder().join(name);
        for (frozen, checkpointing) in FROZEN.iter().flat_map(|frozen| [(*frozen, false), (*frozen, true)]) {
            let (model, _) = Decoder::load(&dir, DecoderOptions::default()).unwrap();
            freeze(model.var_store(), frozen);
            let matmuls = model.matmuls(checkpointing);
            cases.push((question(&dir, class, SHAPES[0], frozen, Value::Null, checkpointing), matmuls));
        }
    }
    assert_counted(&cases);
}
