//! The activation cache: batches that begin above frozen blocks.

mod limits;
mod resumed;
mod same;
mod tied;

use grades_finetune::records::{EvalRecord, StepRecord, Summary};
use serde_json::{Value, json};
use tch::Kind;

use crate::support::{Folder, Run, Tiny, copy_folder, examples};
use crate::tiny_decoder::TinyDecoder;
use crate::tolerance::TRAINED_LOSS;

/// Forty steps of two batches of three. Block 0 freezes at step 2, block 1 later; the pooler, which is a component too, and the
/// head train on.
const CLASSIFIER: &str = r#"
[output]
folder = "runs"
[model]
path = "model"
[data]
train = "train.tsv"
eval = "dev.tsv"
max_tokens = 12
[training]
epochs = 10
batch_size = 3
gradient_accumulation_steps = 2
eval_every = 7
[optimizer]
lr = 5e-3
weight_decay = 0.1
[freezing]
cooldown = 0
[freezing.cache]
mode = "auto"
[[freezing.components.patterns]]
match = '.*pooler\.dense\.weight'
kind = "output"
[freezing.policy]
name = "per-component-type"
[[freezing.policy.rules]]
layers = [0, 0]
policy = { name = "fixed-threshold", tau = 1e9 }
[[freezing.policy.rules]]
layers = [1, 1]
policy = { name = "patience", hits = 14, policy = { name = "fixed-threshold", tau = 1e9 } }
"#;

/// The same for a decoder of three blocks, the last of which trains to the end.
const DECODER: &str = r#"
[output]
folder = "runs"
[model]
path = "model"
[data]
train = "train.jsonl"
eval = "dev.jsonl"
max_tokens = 64
[training]
epochs = 10
batch_size = 2
eval_every = 7
[optimizer]
lr = 5e-3
[freezing]
cooldown = 0
[freezing.cache]
mode = "auto"
[freezing.policy]
name = "per-component-type"
[[freezing.policy.rules]]
layers = [0, 0]
policy = { name = "fixed-threshold", tau = 1e9 }
[[freezing.policy.rules]]
layers = [1, 1]
policy = { name = "patience", hits = 14, policy = { name = "fixed-threshold", tau = 1e9 } }
"#;

/// Adapters of that model: the pooler has one.
const ADAPTERS: [&str; 2] = ["lora.r=2", "freezing.components.patterns=[]"];

/// A classifier whose training depends on the order of the data alone.
fn classifier() -> Folder {
    let folder = Folder::with(&Tiny::base().without_dropout());
    folder.write("train.tsv", examples(24));
    folder.write("dev.tsv", examples(10));
    folder.write("base.toml", CLASSIFIER);
    folder
}

fn decoder(changes: Value) -> Folder {
    let folder = Folder::new();
    std::fs::remove_dir_all(folder.path("model")).unwrap();
    let mut all = json!({"num_hidden_layers": 3});
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let tiny = TinyDecoder::new(all);
    tiny.complete();
    copy_folder(tiny.path(), &folder.path("model"));
    let pairs =
        ["sky blue", "grass green", "snow white", "coal black", "sun yellow", "sky white", "sun white"];
    let line = |pair: &&str| {
        let (thing, colour) = pair.split_once(' ').unwrap();
        let extra = if colour == "white" { "and the snow " } else { "" };
        json!({"prompt": format!("what is the colour of the {thing} {extra}? "), "response": colour})
    };
    let lines: Vec<String> = pairs.iter().map(|pair| line(pair).to_string()).collect();
    folder.write("train.jsonl", lines.join("\n"));
    folder.write("dev.jsonl", lines[2..].join("\n"));
    folder.write("base.toml", DECODER);
    folder
}

/// Trains with keys set into `runs/NAME`.
fn trained(folder: &Folder, name: &str, sets: &[&str]) -> Run {
    let name = format!("output.name={name}");
    folder.run(&[sets, &[&name]].concat())
}

/// The summary of a run.
fn summary(folder: &Folder, run: &str) -> Summary {
    folder.files(run).summary()
}

/// The FLOPs that the cache saved in a run.
fn cache_flops(folder: &Folder, run: &str) -> u128 {
    summary(folder, run).flops.cache_flops
}

/// A value of each step of a run.
fn steps<T>(folder: &Folder, run: &str, value: fn(&StepRecord) -> T) -> Vec<T> {
    folder.files(run).steps().iter().map(value).collect()
}

/// A value of each evaluation of a run.
fn evals<T>(folder: &Folder, run: &str, value: fn(&EvalRecord) -> T) -> Vec<T> {
    folder.files(run).evals().iter().map(value).collect()
}

/// The losses of a run's steps.
fn losses(folder: &Folder, run: &str) -> Vec<f64> {
    steps(folder, run, |step| step.loss)
}

/// The losses of a run's evaluations.
fn eval_losses(folder: &Folder, run: &str) -> Vec<f64> {
    evals(folder, run, |record| record.evaluation.loss)
}

/// Fails unless the losses or accuracies of two runs are the same up to roundings: those of a sum of terms of size 1.
fn assert_same_scores(found: &[f64], expected: &[f64], what: &str) {
    assert_near(found, expected, TRAINED_LOSS.tolerance(Kind::Float), what);
}

fn assert_near(found: &[f64], expected: &[f64], bound: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(!expected.is_empty());
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        let scale = expected.abs().max(1.0);
        assert!((found - expected).abs() <= bound * scale, "{what}, line {step}: {found} and {expected}");
    }
}

/// Whether a run says that its batches begin above frozen blocks.
fn says_that_it_begins_above(run: &Run, blocks: usize) -> bool {
    let said = format!("batches begin above the lowest {blocks} of");
    run.log.notes.iter().filter(|note| note.contains(&said)).count() == 1
}
