//! A training step in f32 and under autocast to bf16, of MiniLM and of SmolLM2: ours beside PyTorch's, interleaved, medians.
//!
//! `make bench` runs it, prints a table of wall and processor time, and writes `target/bench/half.json`: a list of rows
//! `{name, ours, other, unit, ratio, target, holds}`. `cargo bench -p grades-tests --bench half -- ROUNDS` sets the rounds.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot run says so by ending")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use grades::optim::{AdamConfig, AdamW, InnerOptimizer};
use grades_models::bert::{self, BertClassifier};
use grades_models::decoder::{self, Backward, Decoder, Targets, Tokens};
use serde_json::json;
use tch::{Device, Kind, Tensor};

const ROUNDS: usize = 9;
const THREADS: i32 = 2;

/// The wall and processor seconds of a step.
type Seconds = [f64; 2];

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The processor seconds of this process, from the 14th and 15th field of its statistics, in hundredths.
fn processor_seconds() -> f64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/stat") else { return 0.0 };
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    ticks.iter().sum::<f64>() / 100.0
}

fn timed(step: impl FnOnce()) -> Seconds {
    let (start, before) = (Instant::now(), processor_seconds());
    step();
    [start.elapsed().as_secs_f64(), processor_seconds() - before]
}

struct Classifier(BertClassifier, AdamW);

impl Classifier {
    fn new(path: &Path, autocast: bool) -> Self {
        let labels = Some(vec!["a".to_owned(), "b".to_owned()]);
        let options = bert::LoadOptions { labels, autocast, ..Default::default() };
        let model = BertClassifier::load(path, options).unwrap().0;
        let optimizer = AdamConfig::adamw().build(model.var_store(), 1e-5).unwrap();
        Self(model, optimizer)
    }

    fn step(&mut self) {
        let ids: Vec<i64> =
            (0..32 * 64).map(|at| 1000 + (at / 64 * 7919 + at % 64 * 104_729) % 20_000).collect();
        let ids = Tensor::from_slice(&ids).view([32, 64]);
        let labels = Tensor::arange(32, (Kind::Int64, Device::Cpu)).remainder(2);
        self.1.zero_grad().unwrap();
        let logits = self.0.forward(&ids, &ids.ones_like(), true).unwrap();
        logits.cross_entropy_for_logits(&labels).backward();
        self.1.step().unwrap();
    }
}

struct Generator(Decoder, AdamW);

impl Generator {
    fn new(path: &Path, autocast: bool) -> Self {
        let options = decoder::LoadOptions { autocast, ..Default::default() };
        let model = Decoder::load(path, options).unwrap().0;
        let optimizer = AdamConfig::adamw().build(model.var_store(), 1e-5).unwrap();
        Self(model, optimizer)
    }

    fn step(&mut self) {
        let ids: Vec<i64> = (0..4 * 128).map(|at| at * 7919 % self.0.vocab_size()).collect();
        let positions: Vec<i64> = (0..4 * 128).filter(|at| at % 128 != 127).collect();
        let targets: Vec<i64> = positions.iter().map(|&at| ids[at as usize + 1]).collect();
        let targets =
            Targets { positions: Tensor::from_slice(&positions), ids: Tensor::from_slice(&targets) };
        let tokens = Tokens::from(Tensor::from_slice(&ids).view([4, 128]));
        let scale = 1.0 / targets.ids.numel() as f64;
        self.1.zero_grad().unwrap();
        let how = Backward { scale, checkpointing: false, dropout: None };
        self.0.backward(&tokens, &targets, how).unwrap().rest.backward();
        self.1.step().unwrap();
    }
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    tch::set_num_threads(THREADS);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let paths = ["models/all-MiniLM-L6-v2", "models/SmolLM2-135M-Instruct"].map(|path| root.join(path));
    if let Some(missing) = paths.iter().find(|path| !path.is_dir()) {
        return println!("half: {} is not there (make setup, make finetune-decoder)", missing.display());
    }
    let mut child = Command::new(root.join(".venv/bin/python"))
        .arg(root.join("tests/python/half_bench.py"))
        .arg(THREADS.to_string())
        .args(&paths)
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let mut theirs = |what: &str| -> Seconds {
        writeln!(questions, "{what}").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap());
        [numbers.next().unwrap(), numbers.next().unwrap()]
    };
    let mut classifiers = [false, true].map(|autocast| Classifier::new(&paths[0], autocast));
    let mut generators = [false, true].map(|autocast| Generator::new(&paths[1], autocast));
    let mut times: [[Vec<Seconds>; 4]; 2] = Default::default();
    // The first round makes the optimizers' state and is not counted.
    for round in 0..=rounds {
        let [single, half] = &mut classifiers;
        let bert =
            [timed(|| single.step()), timed(|| half.step()), theirs("bert f32"), theirs("bert autocast")];
        let [single, half] = &mut generators;
        let decoder = [
            timed(|| single.step()),
            timed(|| half.step()),
            theirs("decoder f32"),
            theirs("decoder autocast"),
        ];
        for (all, row) in times.iter_mut().zip([bert, decoder]) {
            all.iter_mut().zip(row).for_each(|(times, time)| {
                if round > 0 {
                    times.push(time)
                }
            });
        }
    }
    drop(questions);
    let _ = child.wait();
    let names = ["MiniLM, batch 32 x 64", "SmolLM2-135M, batch 4 x 128"];
    println!("a training step under autocast to bf16, {THREADS} threads, ms (processor ms)");
    let mut rows = Vec::new();
    for (name, times) in names.into_iter().zip(&times) {
        let of = |who: usize, what: usize| 1e3 * median(times[who].iter().map(|seconds| seconds[what]));
        let ratio = |one: usize, other: usize, what: usize| {
            median(times[one].iter().zip(&times[other]).map(|(one, other)| one[what] / other[what]))
        };
        let comparisons =
            [("f32, ours", 0, 1.0 / 1.8), ("PyTorch's autocast", 3, 1.0), ("PyTorch's f32", 2, 1.0)];
        for (other, index, target) in comparisons {
            let ratios = [0, 1].map(|what| ratio(1, index, what));
            println!(
                "{name:<28} autocast {:8.1} ({:8.1})   {other:<18} {:8.1} ({:8.1})   ratio {:.3} ({:.3}), target {target:.3}",
                of(1, 0),
                of(1, 1),
                of(index, 0),
                of(index, 1),
                ratios[0],
                ratios[1]
            );
            rows.push(json!({
                "name": format!("{name}, autocast beside {other}"),
                "ours": of(1, 0),
                "other": format!("{other}: {:.1}", of(index, 0)),
                "unit": "ms",
                "ratio": ratios[0],
                "processor_ratio": ratios[1],
                "target": target,
                "holds": ratios[0] <= target,
            }));
        }
    }
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("half.json"), serde_json::to_string_pretty(&rows).unwrap()).unwrap();
}
