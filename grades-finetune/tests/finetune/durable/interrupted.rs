//! Requests to end that come in the middle of a step or of an evaluation: answered within one batch, and made up for.

use std::sync::OnceLock;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use grades_finetune::log::{Event, Logger};
use grades_finetune::records::StopReason;
use grades_finetune::run::Interrupt;
use serde_json::json;

use crate::durable::broken::{Result, checkpoints};
use crate::support::{Folder, PAIRS, Run, examples};
use crate::tiny_decoder::TinyDecoder;

/// The event after which the end is requested.
#[derive(Debug, Clone, Copy, PartialEq)]
enum After {
    Step(u64),
    /// The last step.
    Stopped,
}

/// Requests the end some time after an event.
struct Later<'a> {
    after: After,
    delay: Duration,
    interrupt: &'a Interrupt,
    requested: OnceLock<()>,
}

impl Logger for Later<'_> {
    fn log(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let now = match event {
            Event::Progress(progress) => self.after == After::Step(progress.step),
            Event::Stopped(reason) => self.after == After::Stopped && !reason.is_premature(),
            _ => false,
        };
        if now && self.requested.set(()).is_ok() {
            let (interrupt, delay) = (self.interrupt.clone(), self.delay);
            spawn(move || {
                sleep(delay);
                interrupt.request();
            });
        }
        Ok(())
    }
}

/// Interrupts a run a while after an event, and resumes it: it must come to the result of an unbroken run. Returns the steps
/// of the interrupted run, and its evaluations between them.
fn interrupted(folder: &Folder, after: After, delay: u64, sets: &[&str]) -> (u64, usize) {
    let named = |name: &str| -> Vec<String> {
        sets.iter().map(|set| (*set).to_owned()).chain([format!("output.name={name}")]).collect()
    };
    let (whole, run) = (named("whole"), named("run"));
    let (whole, run): (Vec<&str>, Vec<&str>) =
        (whole.iter().map(String::as_str).collect(), run.iter().map(String::as_str).collect());
    folder.run(&whole);
    let interrupt = Interrupt::never();
    let delay = Duration::from_millis(delay);
    let mut logger = Later { after, delay, interrupt: &interrupt, requested: OnceLock::new() };
    let outcome = Run::train_logged(folder, &run, &interrupt, &mut logger).unwrap();
    assert_eq!(outcome.summary.ended, StopReason::Interrupted, "{after:?}: the request came too late");
    let steps = outcome.summary.steps.steps;
    assert_eq!(checkpoints(folder, "run"), [steps]);
    // A moment remains for what is trained so far, whose evaluation is a final one.
    let evaluations = folder.files("run").evals().iter().filter(|record| !record.is_final).count();
    Run::resume(folder, &folder.files("run"), &run).unwrap().expect("the run has not ended");
    Result::of(folder, "run").assert_same(&Result::of(folder, "whole"), &format!("{after:?}"));
    (steps, evaluations)
}

/// Evaluations of this many sentences, one at a time, take a second or so.
const MANY: usize = 2_500;

#[test]
fn an_evaluation_of_a_classifier_between_steps() {
    let folder = Folder::new();
    folder.write("dev.tsv", examples(MANY));
    let sets = [
        "training.eval_every=2",
        "training.eval_batch_size=1",
        "training.max_steps=3",
        "early_stopping.patience=9",
        "freezing.cooling='average'",
    ];
    // The request comes within the evaluation after step 2, whose lines are not there then.
    assert_eq!(interrupted(&folder, After::Step(2), 100, &sets), (2, 0));
}

#[test]
fn the_last_evaluations_of_a_classifier() {
    for split in ["eval", "test"] {
        let folder = Folder::new();
        folder.write("test.tsv", examples(if split == "test" { MANY } else { 8 }));
        folder.write("dev.tsv", examples(if split == "eval" { MANY } else { 8 }));
        let sets = [
            "data.test=test.tsv",
            "training.eval_batch_size=1",
            "lora.r=2",
            "lora.merge_frozen=true",
            "freezing.cooldown=0",
            "freezing.policy={name='quota',max_share=0.8,window=1}",
        ];
        assert_eq!(interrupted(&folder, After::Stopped, 250, &sets), (6, 0), "{split}");
    }
}

#[test]
fn a_step_of_many_batches() {
    let folder = Folder::new();
    folder.write("train.tsv", examples(600));
    // Dropout draws random numbers in each batch.
    let sets = [
        "training.batch_size=1",
        "training.gradient_accumulation_steps=200",
        "training.epochs=1",
        "lora.r=2",
        "lora.lora_dropout=0.3",
    ];
    assert_eq!(interrupted(&folder, After::Step(1), 100, &sets).0, 1, "the second step has not happened");
}

#[test]
fn generated_answers() {
    let folder = Folder::decoder(&TinyDecoder::new(json!({})));
    let line =
        |(prompt, response): &(&str, &str)| json!({"prompt": prompt, "response": response}).to_string();
    let lines: Vec<String> = PAIRS.iter().map(line).collect();
    folder.write("eval.jsonl", vec![lines.join("\n"); 250].join("\n"));
    let sets = [
        "data.eval=eval.jsonl",
        "training.eval_batch_size=16",
        "training.epochs=2",
        "evaluation.exact_match=true",
        "evaluation.max_new_tokens=40",
    ];
    assert_eq!(interrupted(&folder, After::Stopped, 150, &sets), (2, 0));
}

#[test]
fn an_interrupted_run_evaluates_for_two_seconds_at_most() {
    for (sentences, expected) in [(8, 1), (30_000, 0)] {
        let folder = Folder::new();
        folder.write("dev.tsv", examples(sentences));
        let interrupt = Interrupt::never();
        let (after, delay) = (After::Step(1), Duration::ZERO);
        let mut logger = Later { after, delay, interrupt: &interrupt, requested: OnceLock::new() };
        let sets = ["training.eval_batch_size=1", "training.epochs=200"];
        let begun = Instant::now();
        let outcome = Run::train_logged(&folder, &sets, &interrupt, &mut logger).unwrap();
        assert_eq!(outcome.summary.ended, StopReason::Interrupted);
        assert_eq!(folder.files("base").evals().len(), expected, "{sentences} sentences");
        assert_eq!(checkpoints(&folder, "base"), [outcome.summary.steps.steps]);
        assert!(expected == 1 || begun.elapsed() >= Duration::from_secs(2), "it was given its moment");
    }
}
