//! Every example runs and prints what it promises.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows them in test functions, but not in helpers"
)]

use std::path::PathBuf;
use std::process::Command;

/// The outputs of a small network with adapters and with merged ones, in f32.
const MERGED: f64 = 1e-4;

/// The output of an example, which `cargo test` has built beside this test.
fn output(name: &str, arguments: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let target: PathBuf = test.parent().unwrap().parent().unwrap().into();
    let program = target.join("examples").join(name);
    let output =
        Command::new(&program).args(arguments).env("OMP_NUM_THREADS", "1").output().unwrap_or_else(|error| {
            panic!("{}: {error}; run: cargo test -p grades-examples", program.display())
        });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The number before a word on the line that contains it.
fn number_before(text: &str, words: &str) -> f64 {
    let (before, _) = text.split_once(words).unwrap_or_else(|| panic!("no {words:?} in {text}"));
    before.split_whitespace().last().unwrap().trim_end_matches(',').parse().unwrap()
}

#[test]
fn drop_in_stops_early_without_a_worse_loss() {
    let text = output("drop_in", &[]);
    let (before, after) = text.trim_end().split_once('\n').unwrap();
    assert!(before.starts_with("before  2000 steps, loss "), "{text}");
    assert!(number_before(after, " steps") < 2000.0, "{text}");
    let loss = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(loss(after) < 2.0 * loss(before) + 1e-3, "{text}");
}

#[test]
fn custom_policy_freezes_half_of_the_components() {
    let text = output("custom_policy", &[]);
    assert!(text.contains("1 of 2 components frozen"), "{text}");
    assert!(text.contains(" froze, grad-rms "), "{text}");
}

#[test]
fn own_loop_resumes_bit_for_bit() {
    let text = output("own_loop", &[]);
    assert!(number_before(&text, " of 2 components frozen") >= 1.0, "{text}");
    assert!(text.contains("resumed run equal: true"), "{text}");
}

#[test]
fn lora_saves_loads_and_merges() {
    let text = output("lora", &[]);
    assert!(text.contains("froze"), "{text}");
    assert!(number_before(&text, " after ") < 0.5 * number_before(&text, " before,"), "{text}");
    assert!(text.contains("loaded: largest difference 0.0e0"), "{text}");
    let merged: f64 = text.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(merged < MERGED, "{text}");
}

#[test]
fn decoder_learns_to_answer() {
    let text = output("decoder", &[]);
    let (before, after) = (
        number_before(&text, " of 64 answers right before"),
        number_before(&text, " of 64 answers right after"),
    );
    assert!(before < after && after >= 16.0, "{text}");
}

#[test]
fn base_world_writes_the_data_of_the_repository() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    output("base_world", &[path, path]);
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for (name, stored) in [
        ("text.jsonl", "data/world"),
        ("train.jsonl", "data/world"),
        ("dev.jsonl", "data/world"),
        ("tokenizer.json", "base"),
    ] {
        let stored = std::fs::read(repository.join(stored).join(name)).unwrap();
        assert!(std::fs::read(folder.path().join(name)).unwrap() == stored, "{name} differs");
    }
}
