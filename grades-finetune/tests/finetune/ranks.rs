//! Runs of several processes on this machine: `--nproc`, and torchrun.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use grades_finetune::records::{StepRecord, StopReason};
use serde_json::json;

use crate::durable::broken::Result;
use crate::support::{Folder, PROGRAM, Ran, Tiny};
use crate::tiny_decoder::TinyDecoder;
use crate::tolerance::{RANKS, assert_number_within};

const FREEZES: [&str; 2] = ["--set", "freezing.policy={name='quota',max_share=0.8,window=3}"];

/// Several processes have no activation cache.
const NO_CACHE: [&str; 2] = ["--set", "freezing.cache.mode='never'"];

/// The processes that a process has started.
fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The rank of a process, as its environment says.
fn rank_of(pid: u32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variables = environment.split(|byte| *byte == 0);
    let mut found = variables.filter_map(|variable| variable.strip_prefix(b"RANK="));
    Some(String::from_utf8_lossy(found.next()?).into_owned())
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(40);
    while !condition() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(folder: &Folder, arguments: &[&str]) -> Child {
    let mut command = folder.command(PROGRAM, &[&["train", "--config", "base.toml"], arguments].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Asserts that two runs took the same steps, their losses up to rounding.
fn assert_same_course(folder: &Folder, one: &str, other: &str) {
    let steps = |run: &str| folder.files(run).steps();
    let (one_steps, other_steps) = (steps(one), steps(other));
    assert_eq!(one_steps.len(), other_steps.len());
    for (one, other) in one_steps.iter().zip(&other_steps) {
        let course = |record: &StepRecord| {
            let StepRecord { step, epoch, learning_rate, work, components, .. } = record;
            (*step, *epoch, *learning_rate, work.examples, work.tokens, work.flops, *components)
        };
        assert_eq!(course(one), course(other));
        assert_number_within(one.loss, other.loss, RANKS, format!("the loss of step {}", one.step));
    }
    let freezes = |run: &str| -> Vec<(u64, String)> {
        folder.files(run).freezes().into_iter().map(|event| (event.step, event.component)).collect()
    };
    assert_eq!(freezes(one), freezes(other));
    let config = |run: &str| {
        let text = folder.text(&format!("runs/{run}/config.toml"));
        text.replace(&format!("name = \"{run}\""), "")
    };
    assert_eq!(config(one), config(other));
}

#[test]
fn two_processes_are_one_that_accumulates_twice_as_much() {
    // Each rank draws its own numbers for dropout.
    let folder = Folder::with(&Tiny::base().without_dropout());
    let common = [&FREEZES[..], &["--epochs", "6", "--set", "training.clip_norm=1.0"]].concat();
    folder.trained(&[&common[..], &["--name", "two", "--nproc", "2"]].concat());
    let accumulated = ["--name", "one", "--set", "training.gradient_accumulation_steps=2"];
    folder.trained(&[&common[..], &accumulated, &NO_CACHE].concat());
    assert_same_course(&folder, "two", "one");
    // Three batches an epoch: one rank has none in every second step.
    assert_eq!(folder.lines("runs/two/steps.jsonl").len(), 12);
    assert!(!folder.lines("runs/two/freezes.jsonl").is_empty());
    assert_eq!(folder.files("two").summary().ended, folder.files("one").summary().ended);
}

#[test]
fn decoders_and_adapters_that_merge_are_trained_by_ranks() {
    let folder = Folder::decoder(&TinyDecoder::new(json!({})));
    let common = [
        &FREEZES[..],
        &["--epochs", "8", "--lora", "--merge-frozen", "--set", "lora.r=2", "--set", "training.batch_size=1"],
        &["--set", "training.activation_checkpointing=true"],
    ]
    .concat();
    folder.trained(&[&common[..], &["--name", "three", "--nproc", "3"]].concat());
    let accumulated = ["--name", "one", "--set", "training.gradient_accumulation_steps=3"];
    folder.trained(&[&common[..], &accumulated, &NO_CACHE].concat());
    assert_same_course(&folder, "three", "one");
    assert!(!folder.lines("runs/three/freezes.jsonl").is_empty());
}

#[test]
fn a_killed_rank_ends_the_run_and_the_resumed_run_is_exact() {
    let folder = Folder::new();
    let common =
        [&FREEZES[..], &["--epochs", "40", "--save-every", "3", "--nproc", "2", "--resume"]].concat();
    folder.trained(&[&common[..], &["--name", "whole"]].concat());
    let run = [&common[..], &["--name", "run"]].concat();
    for victim in ["1", "0"] {
        let child = start(&folder, &run);
        let steps =
            || folder.names("runs/run/checkpoints").iter().filter(|name| name.starts_with("step")).count();
        wait_until("the ranks start", || children(child.id()).len() == 2);
        let before = folder.names("runs/run/checkpoints");
        wait_until("a checkpoint is written", || {
            steps() > 0 && folder.names("runs/run/checkpoints") != before
        });
        let ranks = children(child.id());
        let killed = ranks.iter().find(|pid| rank_of(**pid).as_deref() == Some(victim)).unwrap();
        kill(*killed);
        let begun = Instant::now();
        let ran = Ran::end_of(child);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        assert!(ran.stderr.contains(&format!("rank {victim} (")), "{ran:?}");
        assert!(ranks.iter().all(|pid| !is_running(*pid)));
    }
    folder.trained(&run);
    let (whole, resumed) = (Result::of(&folder, "whole"), Result::of(&folder, "run"));
    assert!(!folder.lines("runs/whole/freezes.jsonl").is_empty());
    resumed.assert_same(&whole, "resumed");
    // A run that has ended is a success for all ranks.
    let again = folder.trained(&run);
    assert!(again.stderr.contains("has ended: there is nothing to resume"), "{again:?}");
}

#[test]
fn ctrl_c_ends_all_ranks_after_the_step_in_hand() {
    let folder = Folder::new();
    let run = folder.start(&["--nproc", "2", "--epochs", "1000000"]);
    run.send("-INT");
    let (code, shown) = run.end();
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(shown.matches("interrupted: saving what is trained so far").count(), 1, "{shown}");
    assert!(!shown.contains("error"), "{shown}");
    assert_eq!(folder.files("base").summary().ended, StopReason::Interrupted);
    assert_eq!(folder.names("runs/base/checkpoints").len(), 1);
}

/// Whoever ends processes may ask any of them.
#[test]
fn a_signal_to_another_rank_ends_the_run_too() {
    let folder = Folder::new();
    let child = start(&folder, &["--nproc", "2", "--epochs", "1000000", "--save-every", "1"]);
    wait_until("the run begins", || !folder.names("runs/base/checkpoints").is_empty());
    let ranks = children(child.id());
    let other = ranks.iter().find(|pid| rank_of(**pid).as_deref() == Some("1")).unwrap();
    assert!(Command::new("kill").args(["-TERM", &other.to_string()]).status().unwrap().success());
    let ran = Ran::end_of(child);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(folder.files("base").summary().ended, StopReason::Interrupted);
}

#[test]
fn no_rank_outlives_the_process_that_started_it() {
    let folder = Folder::new();
    let child = start(&folder, &["--nproc", "2", "--epochs", "1000000", "--save-every", "1"]);
    wait_until("the run begins", || !folder.names("runs/base/checkpoints").is_empty());
    let ranks = children(child.id());
    assert_eq!(ranks.len(), 2);
    kill(child.id());
    wait_until("the ranks end", || ranks.iter().all(|pid| !is_running(*pid)));
    drop(child.wait_with_output());
}

#[test]
fn what_cannot_be_is_refused_once_and_nothing_is_written() {
    let folder = Folder::new();
    let error = folder.refused(&["--nproc", "2", "--set", "training.batch_sze=3"]);
    assert!(error.contains("training.batch_sze") && !error.contains("error:"), "{error}");
    let mut command = folder.command(PROGRAM, &["train", "--config", "base.toml", "--nproc", "2"]);
    let ran = Ran::of(command.env("RANK", "0"));
    assert!(ran.stderr.contains("--nproc starts the processes of a run, but RANK is set"), "{ran:?}");
    let mut command = folder.command(PROGRAM, &["train", "--config", "base.toml"]);
    let ran = Ran::of(command.env("RANK", "0"));
    assert!(ran.stderr.contains("WORLD_SIZE: expected a number of processes"), "{ran:?}");
    let mut command = folder.command(PROGRAM, &["train", "--config", "base.toml", "--ranks-from", "slurm"]);
    let ran = Ran::of(command.env("RANK", "0").env_remove("SLURM_NTASKS"));
    assert!(ran.stderr.contains("SLURM_NTASKS: expected a number of processes"), "{ran:?}");
    let mut command = folder.command(PROGRAM, &["train", "--config", "base.toml", "--rank-timeout", "1"]);
    let alone = command.env("RANK", "0").env("LOCAL_RANK", "0").env("WORLD_SIZE", "2");
    let ran = Ran::of(alone.env("GRADES_STORE", folder.path("store")));
    assert!(ran.stderr.contains("joining the group: after 1 s rank 1 of 2 has not come"), "{ran:?}");
    let ran = folder.train(&["--nproc", "2", "--set", "freezing.cache.mode='always'"]);
    assert!(ran.stderr.contains("freezing.cache.mode = \"always\" is for a run of one process"), "{ran:?}");
    // All ranks read the same data, each for itself.
    let ran = folder.train(&["--nproc", "2", "--set", "data.train='none.tsv'"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("none.tsv"), "{ran:?}");
    assert!(!folder.path("runs").exists());
}

#[test]
fn torchrun_starts_the_same_run() {
    let torchrun = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/torchrun");
    if !torchrun.exists() || std::env::var_os("GRADES_SKIP_INTEROP").is_some() {
        return;
    }
    let folder = Folder::new();
    let run = [&FREEZES[..], &["--epochs", "4"]].concat();
    folder.trained(&[&run[..], &["--name", "nproc", "--nproc", "2"]].concat());
    let start =
        ["--standalone", "--nproc-per-node", "2", "--no-python", PROGRAM, "train", "--config", "base.toml"];
    let arguments = [&start[..], &run, &["--name", "torchrun"]].concat();
    let ran = Ran::of(folder.command(torchrun.to_str().unwrap(), &arguments).env("GLOO_SOCKET_IFNAME", "lo"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Result::of(&folder, "torchrun").assert_same(&Result::of(&folder, "nproc"), "torchrun");
}

#[test]
fn doctor_lists_the_backends() {
    let ran = Folder::empty().finetune(&["doctor"]);
    let line = |name: &str| ran.stdout.lines().find(|line| line.starts_with("ranks") && line.contains(name));
    assert!(line("gloo").is_some_and(|line| line.ends_with("yes")), "{ran:?}");
    assert!(line("nccl").is_some_and(|line| line.contains("no: ") || line.ends_with("yes")), "{ran:?}");
}

/// Early stopping, and steps that all ranks skip.
#[test]
fn ranks_end_for_the_reasons_of_one_process() {
    let folder = Folder::with(&Tiny::base().without_dropout());
    let common = ["--early-stopping", "--epochs", "30", "--lr", "0.02", "--set", "early_stopping.patience=2"];
    folder.trained(&[&common[..], &["--name", "two", "--nproc", "2"]].concat());
    let accumulated = ["--name", "one", "--set", "training.gradient_accumulation_steps=2"];
    folder.trained(&[&common[..], &accumulated].concat());
    let ended = |run: &str| folder.files(run).summary().ended;
    assert_eq!((ended("two"), ended("one")), (StopReason::EarlyStopped, StopReason::EarlyStopped));
    let steps = |run: &str| folder.lines(&format!("runs/{run}/steps.jsonl")).len();
    assert_eq!(steps("two"), steps("one"));

    // The vector of a word that is in every other sentence: each step has one, on one rank or the other.
    let mut tiny = Tiny::base();
    let (_, values) = tiny.tensors.get_mut("embeddings.word_embeddings.weight").unwrap();
    values.iter_mut().skip(5 * 8).for_each(|value| *value = f32::INFINITY);
    let folder = Folder::with(&tiny);
    let ran =
        folder.train(&["--nproc", "2", "--lora", "--set", "guard.max_bad_steps=3", "--save-every", "1"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(folder.lines("runs/base/steps.jsonl").len(), 3);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{ran:?}");
}
