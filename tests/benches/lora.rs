//! Measures adapters: a layer's forward and backward pass beside PEFT's, and the step of a run with none, half and all
//! of the adapters frozen, merged or not. Interleaved, medians.
//!
//! `make bench` runs it, prints a table and writes `target/bench/lora.json`: a list of rows `{name, ours, other, unit,
//! ratio, target, holds}`. PEFT runs in a Python of its own, which answers one timing at a time.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run says so by ending")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use grades::optim::{AdamConfig, AdamW, InnerOptimizer};
use grades_lora::{Adapter, Adapters, Linear, LoraConfig, MergeFrozen};
use grades_models::bert::{BertClassifier, LoadOptions};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

const ROUNDS: usize = 41;
const STEP_ROUNDS: usize = 15;

/// An adapted layer, and the rows of its input.
#[derive(Clone, Copy)]
struct Shape {
    kind: &'static str,
    inputs: i64,
    outputs: i64,
    rows: i64,
    rank: i64,
}

/// A square layer, the widening one of MiniLM and the narrowing one of BERT-base.
const LAYERS: [Shape; 4] = [
    Shape { kind: "lora", inputs: 1024, outputs: 1024, rows: 1024, rank: 8 },
    Shape { kind: "lora", inputs: 384, outputs: 1536, rows: 2048, rank: 8 },
    Shape { kind: "lora", inputs: 3072, outputs: 768, rows: 512, rank: 16 },
    Shape { kind: "dora", inputs: 1024, outputs: 1024, rows: 1024, rank: 8 },
];

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2] * 1e3
}

/// PEFT in a process of its own.
struct Peft {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peft {
    fn start() -> Self {
        let mut child = Command::new(workspace(".venv/bin/python"))
            .arg(workspace("tests/python/lora_bench.py"))
            .arg(tch::get_num_threads().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "peft is not there: run `make setup-interop`");
        Self { child, questions, answers }
    }

    /// Seconds of one pass.
    fn time(&mut self, question: &str) -> f64 {
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    fn stop(mut self) {
        drop(self.questions);
        self.child.wait().unwrap();
    }
}

/// An adapted layer, its input and the gradient of its output.
struct Pass {
    layer: Linear,
    x: Tensor,
    weights: Tensor,
}

impl Pass {
    fn new(Shape { kind, inputs, outputs, rows, rank }: Shape) -> Self {
        let random = |shape: [i64; 2]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let bias = Tensor::randn([outputs], (Kind::Float, Device::Cpu));
        let mut layer = Linear::new(random([outputs, inputs]) * 0.02, Some(bias));
        let config = LoraConfig::new(rank).dora(kind == "dora");
        let adapter = Adapter::new("default", &layer, rank, 2.0 * rank as f64, &config).unwrap();
        let mut b = adapter.b().shallow_clone();
        let _ = tch::no_grad(|| b.normal_(0.0, 1.0));
        layer.attach(adapter).unwrap();
        Self { layer, x: random([rows, inputs]).set_requires_grad(true), weights: random([rows, outputs]) }
    }

    /// Seconds of one forward and backward pass.
    fn time(&mut self) -> f64 {
        let mut inputs: Vec<&Tensor> = self.layer.adapters()[0].tensors().collect();
        inputs.push(&self.x);
        let start = Instant::now();
        let y = self.layer.forward(&self.x, true).unwrap();
        let gradients = Tensor::run_backward(&[(y * &self.weights).sum(Kind::Float)], &inputs, false, false);
        let seconds = start.elapsed().as_secs_f64();
        drop(gradients);
        seconds
    }
}

fn layers(rows: &mut Vec<Value>) {
    let mut peft = Peft::start();
    let mut passes: Vec<_> = LAYERS.map(|shape| (shape, Pass::new(shape), Vec::new(), Vec::new())).into();
    // The first rounds make what is kept and are not counted.
    for round in 0..ROUNDS + 3 {
        for (Shape { kind, inputs, outputs, rows: count, rank }, pass, ours, theirs) in &mut passes {
            let (our, their) = (pass.time(), peft.time(&format!("{kind} {inputs} {outputs} {count} {rank}")));
            if round >= 3 {
                ours.push(our);
                theirs.push(their);
            }
        }
    }
    peft.stop();
    for (Shape { kind, inputs, outputs, rows: count, rank }, _, ours, theirs) in passes {
        let name = format!("{kind} forward and backward, {count} × {inputs} → {outputs}, rank {rank}");
        rows.push(row(&name, median(ours), "PEFT 0.21.2", median(theirs)));
    }
}

/// A run of MiniLM with adapters in all its layers, of which a share is frozen.
struct Run {
    model: BertClassifier,
    optimizer: AdamW,
    ids: Tensor,
    labels: Tensor,
}

impl Run {
    fn new(share: f64, merge: bool) -> Self {
        tch::manual_seed(1);
        let labels = Some(vec!["no".to_owned(), "yes".to_owned()]);
        let options = LoadOptions { labels, ..LoadOptions::default() };
        let (mut model, _) = BertClassifier::load(&workspace("models/all-MiniLM-L6-v2"), options).unwrap();
        let (layers, variables) = model.layers_mut();
        let config = LoraConfig::new(8).alpha(16.0).modules_to_save(["classifier"]);
        Adapters::new().add(layers, variables, "default", &config).unwrap();
        // Spread evenly, so that gradients pass through the whole model.
        let mut owed = 0.0;
        layers.visit_linear(&mut |_, layer| {
            for adapter in layer.adapters() {
                owed += share;
                if owed >= 1.0 {
                    owed -= 1.0;
                    for tensor in adapter.tensors() {
                        let _ = tensor.set_requires_grad(false);
                    }
                }
            }
        });
        if merge {
            MergeFrozen::new().apply(layers).unwrap();
        }
        let optimizer = AdamConfig::adamw().build(model.var_store(), 1e-4).unwrap();
        let ids = Tensor::randint_low(1000, 20000, [32, 64], (Kind::Int64, Device::Cpu));
        Self { model, optimizer, ids, labels: Tensor::randint(2, [32], (Kind::Int64, Device::Cpu)) }
    }

    /// Seconds of one training step.
    fn time(&mut self) -> f64 {
        let mask = self.ids.ones_like();
        let start = Instant::now();
        self.optimizer.zero_grad().unwrap();
        let loss = self.model.forward(&self.ids, &mask, true).unwrap().cross_entropy_for_logits(&self.labels);
        loss.backward();
        self.optimizer.step().unwrap();
        start.elapsed().as_secs_f64()
    }
}

fn steps(rows: &mut Vec<Value>) {
    let cases = [
        ("none frozen", 0.0, false),
        ("half frozen", 0.5, false),
        ("half frozen, merged", 0.5, true),
        ("all frozen", 1.0, false),
        ("all frozen, merged", 1.0, true),
    ];
    let mut runs = cases.map(|(name, share, merge)| (name, Run::new(share, merge), Vec::new()));
    for round in 0..=STEP_ROUNDS {
        for (_, run, times) in &mut runs {
            let seconds = run.time();
            if round > 0 {
                times.push(seconds);
            }
        }
    }
    let times = runs.map(|(name, _, times)| (name, median(times)));
    let [none, half, half_merged, all, all_merged] = times;
    for (ours, other) in [(half, none), (half_merged, half), (all, none), (all_merged, all)] {
        let name = format!("step of MiniLM with LoRA, batch 32 × 64, {}", ours.0);
        rows.push(row(&name, ours.1, other.0, other.1));
    }
}

fn row(name: &str, ours: f64, other_name: &str, other: f64) -> Value {
    const TARGET: f64 = 1.0;
    let ratio = ours / other;
    println!("{name:<72} {ours:8.2} ms, {other_name} {other:8.2} ms: {ratio:.3}, target {TARGET:.2}");
    json!({
        "name": name,
        "ours": ours,
        "other": format!("{other_name}: {other:.2}"),
        "unit": "ms",
        "ratio": ratio,
        "target": TARGET,
        "holds": ratio <= TARGET,
    })
}

fn main() {
    let mut rows = Vec::new();
    println!("f32, {} threads, medians", tch::get_num_threads());
    layers(&mut rows);
    steps(&mut rows);
    let folder = workspace("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("lora.json"), serde_json::to_string_pretty(&rows).unwrap()).unwrap();
}
