//! Adapters that we write are read by Python's PEFT, and the other way: with one base the logits are the same.
//!
//! Every adapter here changes the logits by much more than the tolerance: PEFT ignores tensors that it cannot place, so
//! loading without an error proves nothing.

use std::path::Path;

use grades_finetune::config::{Document, RunConfig};
use grades_finetune::run::Interrupt;
use grades_finetune::train::train;
use grades_lora::{Adapters, Bias, Init, LoraConfig, Targets};
use grades_models::bert::{BertClassifier, LoadOptions, load_adapted};
use grades_policies as _;
use grades_tests::tolerance::{TINY_BERT, assert_within, relative_error};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::python::{run_script, skipped};
use crate::tiny::Tiny;

const IDS: [[i64; 7]; 3] = [[2, 13, 4, 6, 3, 0, 0], [2, 16, 11, 14, 5, 10, 3], [2, 3, 0, 0, 0, 0, 0]];
const MASK: [[i64; 7]; 3] = [[1, 1, 1, 1, 1, 0, 0], [1; 7], [1, 1, 0, 0, 0, 0, 0]];

/// All that a configuration can say, in our words.
fn configs() -> Vec<(&'static str, LoraConfig)> {
    let lora = LoraConfig::new(2).alpha(5.0).init(Init::Random).target_modules(["query", "value"]);
    let mut blocks = lora.clone().target_modules(["dense"]).layers_to_transform([1]);
    blocks.layers_pattern = vec!["layer".to_owned()];
    vec![
        ("lora", lora.clone()),
        ("rslora", lora.clone().rslora(true)),
        ("dora", lora.clone().dora(true)),
        ("dora and rslora", lora.clone().dora(true).rslora(true).dropout(0.1)),
        (
            "patterns",
            lora.clone()
                .rank_of("layer.1.attention.self.query", 3)
                .rank_of("value", 1)
                .alpha_of("query", 9.0),
        ),
        ("expression", lora.clone().target_pattern(r"bert\.encoder\.layer\.\d\.(attention\.)?output\.dense")),
        ("all-linear", lora.clone().target_pattern("all-linear").exclude_modules(["key"])),
        ("blocks", blocks),
        ("modules to save", lora.clone().modules_to_save(["classifier", "pooler"]).task_type("SEQ_CLS")),
        (
            "a head that is targeted",
            lora.clone()
                .target_modules(["query", "classifier"])
                .modules_to_save(["classifier"])
                .task_type("SEQ_CLS"),
        ),
        ("modules to save, with dora", lora.clone().modules_to_save(["classifier", "LayerNorm"]).dora(true)),
        ("biases of adapted layers", lora.clone().bias(Bias::LoraOnly)),
        ("all biases", lora.bias(Bias::All).modules_to_save(["classifier"])),
    ]
}

fn batch() -> (Tensor, Tensor) {
    (Tensor::from_slice2(&IDS), Tensor::from_slice2(&MASK))
}

fn logits(model: &BertClassifier) -> Tensor {
    let (ids, mask) = batch();
    tch::no_grad(|| model.forward(&ids, &mask, false)).unwrap().to_kind(Kind::Double)
}

fn ask(base: &Path, jobs: &[Value]) -> Vec<Value> {
    let question = json!({"base": base, "ids": IDS, "mask": MASK, "jobs": jobs});
    serde_json::from_value(run_script("tests/python/lora.py", &["torch", "transformers", "peft"], &question))
        .unwrap()
}

fn tensor(value: &Value) -> Tensor {
    Tensor::from_slice2(&serde_json::from_value::<Vec<Vec<f64>>>(value.clone()).unwrap())
}

fn assert_logits(found: &Tensor, expected: &Tensor, what: &str) {
    assert_within(found, expected, TINY_BERT.tolerance(Kind::Float), what);
}

/// Fails unless an adapter changes the logits by much more than the tolerance.
fn assert_changed(adapted: &Tensor, plain: &Tensor, what: &str) {
    let change = relative_error(adapted, plain);
    assert!(change > 100.0 * TINY_BERT.tolerance(Kind::Float), "{what} changes nothing: {change:e}");
}

fn base() -> (Tiny, Tensor) {
    let tiny = Tiny::classifier();
    tiny.write();
    let (model, _) = BertClassifier::load(tiny.path(), LoadOptions::default()).unwrap();
    let plain = logits(&model);
    (tiny, plain)
}

#[test]
fn peft_reads_what_we_write() {
    if skipped() {
        return;
    }
    let (base, plain) = base();
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = Vec::new();
    let mut ours = Vec::new();
    for (index, (name, config)) in configs().into_iter().enumerate() {
        let (mut model, _) = BertClassifier::load(base.path(), LoadOptions::default()).unwrap();
        let (layers, variables) = model.layers_mut();
        let mut adapters = Adapters::new();
        adapters.add(layers, variables, "mine", &config).unwrap();
        tch::no_grad(|| {
            for (name, mut variable) in variables.variables() {
                if !variable.requires_grad() {
                    continue;
                }
                // Numbers of their position and name: torch's generator is shared with other tests.
                let count = i64::try_from(variable.numel()).unwrap();
                let index = Tensor::arange(count, (Kind::Float, tch::Device::Cpu));
                let numbers = (index * 1.7 + name.len() as f64).sin().view_as(&variable);
                let matrix = name.contains(".lora_") && !name.contains("magnitude");
                let values = if matrix { numbers * 0.5 } else { &variable * (numbers * 0.3 + 1.0) };
                variable.copy_(&values);
            }
        });
        let dir = folder.path().join(index.to_string());
        adapters.save("mine", &dir).unwrap();
        let computed = logits(&model);
        assert_changed(&computed, &plain, name);
        ours.push((name, computed));
        jobs.push(json!({"read": dir}));
    }
    let answers = ask(base.path(), &jobs);
    assert_eq!(answers.len(), ours.len());
    for ((name, ours), answer) in ours.iter().zip(&answers) {
        assert_logits(ours, &tensor(&answer["logits"]), name);
        assert_logits(ours, &tensor(&answer["merged"]), &format!("{name}, merged by PEFT"));
    }
}

/// A configuration in PEFT's words.
fn peft_config(config: &LoraConfig) -> Value {
    let targets = |targets: &Targets| match targets {
        Targets::AllLinear => json!("all-linear"),
        Targets::List(names) => json!(names),
        Targets::Pattern(pattern) => json!(pattern),
    };
    let pairs = |pairs: Vec<(String, Value)>| Value::Object(pairs.into_iter().collect());
    json!({
        "r": config.rank, "lora_alpha": config.alpha, "lora_dropout": config.dropout,
        "target_modules": targets(&config.target_modules),
        "exclude_modules": config.exclude_modules.as_ref().map(targets),
        "rank_pattern": pairs(config.rank_pattern.iter().map(|(k, v)| (k.clone(), json!(v))).collect()),
        "alpha_pattern": pairs(config.alpha_pattern.iter().map(|(k, v)| (k.clone(), json!(v))).collect()),
        "layers_to_transform": config.layers_to_transform,
        "layers_pattern": (!config.layers_pattern.is_empty()).then_some(&config.layers_pattern),
        "use_rslora": config.use_rslora, "use_dora": config.use_dora,
        "bias": match config.bias { Bias::None => "none", Bias::All => "all", Bias::LoraOnly => "lora_only" },
        "modules_to_save": (!config.modules_to_save.is_empty()).then_some(&config.modules_to_save),
        "task_type": config.task_type,
    })
}

/// `adapter_config.json`, with names in order: PEFT writes its sets in any.
fn config_file(dir: &Path) -> Value {
    let text = std::fs::read(dir.join("adapter_config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&text).unwrap();
    for key in ["target_modules", "exclude_modules", "modules_to_save"] {
        if let Some(list) = config[key].as_array_mut() {
            list.sort_by_key(Value::to_string);
            list.dedup();
        }
    }
    // Whole numbers may be written as 5 or 5.0.
    config["lora_alpha"] = json!(config["lora_alpha"].as_f64());
    for value in config["alpha_pattern"].as_object_mut().unwrap().values_mut() {
        *value = json!(value.as_f64());
    }
    // Both are of our own making: how A and B began, and the model's class in PEFT's words.
    for key in ["init_lora_weights", "auto_mapping"] {
        config[key] = Value::Null;
    }
    config
}

#[test]
fn we_read_what_peft_writes() {
    if skipped() {
        return;
    }
    let (base, plain) = base();
    let folder = tempfile::tempdir().unwrap();
    let dir = |index: usize| folder.path().join(index.to_string());
    let configs = configs();
    let jobs: Vec<Value> = configs
        .iter()
        .enumerate()
        .map(|(index, (_, config))| json!({"write": dir(index), "config": peft_config(config)}))
        .collect();
    let answers = ask(base.path(), &jobs);
    assert_eq!(answers.len(), configs.len());
    for (index, ((name, _), answer)) in configs.iter().zip(&answers).enumerate() {
        let theirs = tensor(&answer["logits"]);
        assert_changed(&theirs, &plain, name);
        let (mut model, mut adapters, _) = load_adapted(base.path(), &dir(index), LoadOptions::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_logits(&logits(&model), &theirs, name);
        let again = folder.path().join("again").join(index.to_string());
        adapters.save("default", &again).unwrap();
        assert_eq!(config_file(&again), config_file(&dir(index)), "{name}: adapter_config.json");
        let (layers, variables) = model.layers_mut();
        adapters.merge_and_unload(layers, variables).unwrap();
        assert_logits(&logits(&model), &theirs, &format!("{name}, merged"));
    }
}

#[test]
fn a_targeted_head_is_not_adapted_by_peft_either() {
    if skipped() {
        return;
    }
    let (base, _) = base();
    let folder = tempfile::tempdir().unwrap();
    let config = LoraConfig::new(2).target_modules(["query", "classifier"]).task_type("SEQ_CLS");
    // Nothing to save is named: PEFT does that itself for this task.
    let theirs = ask(base.path(), &[json!({"write": folder.path(), "config": peft_config(&config)})]);
    let (model, read, _) = load_adapted(base.path(), folder.path(), LoadOptions::default()).unwrap();
    assert_logits(&logits(&model), &tensor(&theirs[0]["logits"]), "a targeted head");
    let (mut model, _) = BertClassifier::load(base.path(), LoadOptions::default()).unwrap();
    let (layers, variables) = model.layers_mut();
    let mut ours = Adapters::new();
    ours.add(layers, variables, "mine", &config).unwrap();
    assert_eq!(ours.layers("mine"), read.layers("default"));
}

#[test]
fn peft_and_transformers_read_what_a_run_writes() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // No head: the run draws one, and the adapter has to bring it.
    Tiny::base().write_to(&dir.path().join("model"));
    let examples: String = (0..6)
        .map(|i| if i % 2 == 0 { "a good film\tpositive\n" } else { "it was very bad\tnegative\n" })
        .collect();
    std::fs::write(dir.path().join("train.tsv"), examples).unwrap();
    let mut document = Document::parse(
        "[data]\nmax_tokens = 16\n[training]\nbatch_size = 2\nmax_steps = 8\n[optimizer]\nlr = 0.05\n[model]\n\
         device = 'cpu'\n[lora]\nr = 2\nlora_alpha = 5\nmerge_frozen = true\nuse_dora = true\n[freezing]\n\
         [freezing.policy]\nname = 'quota'\nmax_share = 0.5\n",
    )
    .unwrap();
    for (key, file) in [("model.path", "model"), ("data.train", "train.tsv"), ("output.folder", "runs")] {
        document.put(key, dir.path().join(file).display().to_string()).unwrap();
    }
    let config = RunConfig::read(document.table()).unwrap();
    let outcome = train(&config, "lora", &Interrupt::never()).unwrap();
    assert!(outcome.summary.freezing.components_frozen > 0, "some adapters were merged");
    let (base, adapter) = (dir.path().join("model"), dir.path().join("runs/lora/adapter"));
    let (mut model, mut adapters, _) = load_adapted(&base, &adapter, LoadOptions::default()).unwrap();
    assert_eq!(model.labels(), ["negative", "positive"]);
    let ours = logits(&model);
    let answers = ask(&base, &[json!({"read": adapter, "labels": 2})]);
    assert_logits(&ours, &tensor(&answers[0]["logits"]), "the adapter of a run");

    // What `finetune merge` does: a plain model, which transformers reads without PEFT.
    let (layers, variables) = model.layers_mut();
    adapters.merge_and_unload(layers, variables).unwrap();
    let merged = dir.path().join("merged");
    model.save(&merged).unwrap();
    crate::python::assert_same(&merged, &[&IDS[0][..5], &IDS[1]], TINY_BERT);
    let (plain, report) = BertClassifier::load(&merged, LoadOptions::default()).unwrap();
    assert!(report.fresh.is_empty());
    assert_logits(&logits(&plain), &ours, "merged by us");
}
