//! A small Llama: loading it and training it a step, beside transformers in the same run, interleaved, medians.
//!
//! `make bench` runs it, prints a table and writes `target/bench/decoder.json`: a list of rows `{name, ours, other, unit,
//! ratio, target, holds}`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run says so by ending")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use grades::optim::{AdamConfig, InnerOptimizer};
use grades_models::decoder::{Backward, Decoder, LoadOptions, Targets, Tokens};
use tch::Tensor;

const ROUNDS: usize = 15;
const THREADS: i32 = 2;
const VOCABULARY: i64 = 8000;
const CONFIG: &str = r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 8000,
    "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
    "rope_theta": 10000.0, "torch_dtype": "float32"}"#;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The batch that the Python side has as well.
fn batch() -> (Tokens, Targets) {
    let ids: Vec<i64> = (0..4 * 128).map(|at| at * 7919 % VOCABULARY).collect();
    let positions: Vec<i64> = (0..4 * 128).filter(|at| at % 128 != 127).collect();
    let targets: Vec<i64> = positions.iter().map(|&at| ids[at as usize + 1]).collect();
    let targets = Targets { positions: Tensor::from_slice(&positions), ids: Tensor::from_slice(&targets) };
    (Tokens::from(Tensor::from_slice(&ids).view([4, 128])), targets)
}

fn main() {
    tch::set_num_threads(THREADS);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = std::env::temp_dir().join(format!("grades-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.json"), CONFIG).unwrap();
    Decoder::draw(&dir, LoadOptions::default(), 0).unwrap().save(&dir).unwrap();
    let mut child = Command::new(root.join(".venv/bin/python"))
        .arg(root.join("tests/python/decoder_bench.py"))
        .args([dir.as_os_str(), THREADS.to_string().as_ref()])
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let mut theirs = |what: &str| -> f64 {
        writeln!(questions, "{what}").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        line.trim().parse::<f64>().unwrap() * 1e3
    };

    let (model, _) = Decoder::load(&dir, LoadOptions::default()).unwrap();
    let mut optimizer = AdamConfig::adamw().build(model.var_store(), 1e-4).unwrap();
    let (tokens, targets) = batch();
    let scale = 1.0 / targets.ids.numel() as f64;
    let mut step = || {
        optimizer.zero_grad().unwrap();
        let how = Backward { scale, checkpointing: false, dropout: None };
        model.backward(&tokens, &targets, how).unwrap().rest.backward();
        optimizer.step().unwrap();
    };
    let load = || drop(Decoder::load(&dir, LoadOptions::default()).unwrap());
    let mut times: [Vec<f64>; 4] = Default::default();
    // The first round makes the optimizers' state and is not counted.
    for round in 0..=ROUNDS {
        let timed = |act: &mut dyn FnMut()| {
            let start = Instant::now();
            act();
            start.elapsed().as_secs_f64() * 1e3
        };
        let row = [timed(&mut step), theirs("step"), timed(&mut || load()), theirs("load")];
        if round > 0 {
            times.iter_mut().zip(row).for_each(|(times, time)| times.push(time));
        }
    }
    drop(questions);
    let _ = child.wait();
    std::fs::remove_dir_all(&dir).unwrap();
    let [step, their_step, load, their_load] = times.map(median);
    println!(
        "a Llama of 6 blocks, width 384, vocabulary {VOCABULARY}, f32, batch 4 x 128, {THREADS} threads, ms"
    );
    let rows = [row("training step", step, their_step), row("loading", load, their_load)];
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("decoder.json"), serde_json::to_string_pretty(&rows).unwrap()).unwrap();
}

fn row(name: &str, ours: f64, other: f64) -> serde_json::Value {
    let ratio = ours / other;
    println!("{name:<16} ours {ours:8.2}   transformers {other:8.2}   ratio {ratio:.3}, target 1.00");
    serde_json::json!({
        "name": format!("decoder, {name}"),
        "ours": ours,
        "other": format!("transformers: {other:.2}"),
        "unit": "ms",
        "ratio": ratio,
        "target": 1.0,
        "holds": ratio <= 1.0,
    })
}
