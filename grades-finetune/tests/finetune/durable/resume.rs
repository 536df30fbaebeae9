//! k + n steps are k steps, a checkpoint, a new process and n steps, bit by bit.

use grades::tracker::Transition;
use serde_json::json;

use crate::durable::broken::{Result, broken_off, checkpoints, resumed, whole};
use crate::support::{Folder, Tiny, examples};
use crate::tiny_decoder::TinyDecoder;

/// Twelve steps of two batches of three: a checkpoint falls within an epoch and between two of them.
const CLASSIFIER: &str = r#"
[model]
path = "model"
[data]
train = "train.tsv"
eval = "dev.tsv"
max_tokens = 12
[training]
epochs = 3
batch_size = 3
gradient_accumulation_steps = 2
eval_every = 5
[optimizer]
lr = 5e-3
weight_decay = 0.1
"#;

const DECODER: &str = r#"
[model]
path = "model"
[data]
train = "train.jsonl"
eval = "train.jsonl"
[training]
epochs = 6
batch_size = 3
[optimizer]
lr = 5e-3
"#;

fn classifier() -> Folder {
    let folder = Folder::with(&Tiny::base());
    folder.write("train.tsv", examples(24));
    folder.write("base.toml", CLASSIFIER);
    folder
}

/// A decoder with six lines of one length.
fn decoder(changes: serde_json::Value) -> Folder {
    let folder = Folder::decoder(&TinyDecoder::new(changes));
    let lines: Vec<String> =
        ["sky blue", "grass green", "snow white", "coal black", "sun yellow", "sky white"]
            .iter()
            .map(|pair| pair.split_once(' ').unwrap())
            .map(|(prompt, response)| {
                json!({"prompt": format!("the colour of {prompt} ? "), "response": response}).to_string()
            })
            .collect();
    folder.write("train.jsonl", lines.join("\n"));
    folder.write("base.toml", DECODER);
    folder
}

/// Runs without a checkpoint and with one at each `every`th step, in this process, and from some of those in another one.
fn goes_on(folder: &Folder, every: u64, from: &[u64], sets: &[&str]) -> Result {
    folder.run(&[&["output.name=plain"], sets].concat());
    whole(folder, &[&[&format!("checkpoint.every={every}"), "checkpoint.keep=100"], sets].concat());
    let whole = Result::of(folder, "whole");
    Result::of(folder, "plain").assert_same(&whole, "checkpoints change nothing");
    for step in from {
        let copy = format!("from-{step}");
        broken_off(folder, "whole", *step, &copy);
        let ran = resumed(folder, &copy);
        assert!(ran.stderr.contains(&format!("resumed after step {step} from ")), "{}", ran.stderr);
        Result::of(folder, &copy).assert_same(&whole, &format!("{sets:?} from step {step}"));
        assert_eq!(folder.files(&copy).summary().steps.resumes, 1);
    }
    assert!(!checkpoints(folder, "whole").is_empty());
    whole
}

/// The events of a run at steps after the first checkpoint that is gone on from.
fn freezes_after(result: &Result, step: u64) -> usize {
    result.freezes.iter().filter(|event| event.step > step).count()
}

#[test]
fn adamw_with_the_automatic_policy() {
    let result = goes_on(&classifier(), 3, &[3, 9], &["freezing.followers='with-block'"]);
    assert!(freezes_after(&result, 3) > 10, "{:?}", result.freezes);
    assert_eq!(result.steps.len(), 12);
}

#[test]
fn adam_with_patience_over_a_threshold() {
    let sets = [
        "optimizer.name=adam",
        "freezing.grace=0.5",
        "freezing.policy={name='patience',hits=2,policy={name='fixed-threshold',tau=0.02}}",
    ];
    let result = goes_on(&classifier(), 2, &[4], &sets);
    assert!(freezes_after(&result, 4) > 0, "{:?}", result.freezes);
}

#[test]
fn sgd_with_a_policy_per_kind() {
    let sets = [
        "optimizer.name=sgd",
        "optimizer.lr=0.05",
        "freezing.cooldown=3",
        "freezing.policy={name='per-component-type',default={name='relative-to-peak',rho=0.9,window=2,hits=1},\
         attention={name='plateau',rho=0.95,slope=0.5,window=3,hits=1}}",
    ];
    assert!(freezes_after(&goes_on(&classifier(), 2, &[6], &sets), 6) > 0);
}

#[test]
fn batches_of_a_step_that_are_compared() {
    goes_on(&classifier(), 5, &[5], &["freezing.policy.name='two-batch'", "freezing.policy.floor=0.9"]);
}

#[test]
fn what_thaws_thaws() {
    let sets = [
        "freezing.cooldown=0",
        "freezing.policy={name='thaw',period=3,policy={name='relative-to-peak',rho=0.9,window=2,hits=1}}",
    ];
    let result = goes_on(&classifier(), 2, &[4, 8], &sets);
    assert!(result.freezes.iter().any(|event| event.event == Transition::Thaw), "{:?}", result.freezes);
}

#[test]
fn a_quota_and_statistics_of_changes() {
    let sets = ["freezing.policy={name='quota',max_share=0.6,window=2}", "freezing.metric='grad-delta-l1'"];
    assert!(freezes_after(&goes_on(&classifier(), 4, &[4], &sets), 4) > 0);
}

#[test]
fn adapters_that_are_merged_when_they_freeze() {
    for dora in ["false", "true"] {
        let sets = [
            "lora.r=2",
            "lora.lora_dropout=0.2",
            "lora.merge_frozen=true",
            &format!("lora.use_dora={dora}"),
            "freezing.cooldown=0",
            "freezing.policy={name='quota',max_share=0.7,window=1}",
        ];
        let result = goes_on(&classifier(), 3, &[6], &sets);
        assert!(freezes_after(&result, 0) > freezes_after(&result, 6));
    }
}

#[test]
fn a_decoder_in_half_precision_whose_blocks_are_computed_twice() {
    let folder = decoder(json!({"attention_dropout": 0.1}));
    let sets = [
        "model.dtype=bf16",
        "training.activation_checkpointing=true",
        "data.packing=true",
        "data.max_tokens=32",
    ];
    let result = goes_on(&folder, 2, &[2], &[&sets[..], &["freezing.cooldown=0"]].concat());
    assert!(result.steps.len() > 4);
}

#[test]
fn a_classifier_in_half_precision_with_master_copies_that_freeze() {
    for cooling in ["decay", "average"] {
        let cooling = format!("freezing.cooling='{cooling}'");
        let sets = ["model.dtype=bf16", "freezing.policy={name='quota',max_share=0.8,window=2}", &cooling];
        assert!(freezes_after(&goes_on(&classifier(), 3, &[6], &sets), 0) > 0);
    }
}

#[test]
fn a_classifier_under_autocast() {
    let sets = ["model.autocast=true", "freezing.policy={name='quota',max_share=0.8,window=2}"];
    assert!(freezes_after(&goes_on(&classifier(), 3, &[3, 9], &sets), 3) > 0);
}

#[test]
fn auto_goes_on_with_the_dtype_that_it_chose() {
    let folder = classifier();
    whole(&folder, &["model.dtype=auto", "checkpoint.every=4"]);
    broken_off(&folder, "whole", 4, "run");
    resumed(&folder, "run");
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "auto");
}

#[test]
fn adapters_of_a_decoder() {
    let sets = ["lora.r=2", "lora.lora_dropout=0.1", "freezing.policy={name='quota',max_share=0.7,window=1}"];
    let result = goes_on(&decoder(json!({})), 4, &[4, 8], &sets);
    assert!(freezes_after(&result, 4) > 0);
}

#[test]
fn without_freezing() {
    goes_on(&classifier(), 4, &[8], &[]);
}

#[test]
fn early_stopping_that_has_kept_its_best_weights() {
    let sets = [
        "early_stopping.patience=3",
        "early_stopping.min_delta=0.5",
        "training.eval_every=1",
        "optimizer.lr=0.05",
        "freezing.cooling='average'",
    ];
    let result = goes_on(&classifier(), 2, &[2], &sets);
    let bests: Vec<Option<bool>> = result.evals.iter().map(|eval| eval.best).collect();
    assert!(bests.contains(&Some(false)), "{bests:?}");
    assert!(result.steps.len() > 2);
}

#[test]
fn components_that_cool_by_averaging() {
    let sets = ["freezing.cooling='average'", "freezing.policy={name='quota',max_share=0.9,window=2}"];
    goes_on(&classifier(), 3, &[6], &sets);
}

#[test]
fn adapters_of_a_model_that_has_a_head_train_it_after_a_break_too() {
    let folder = Folder::with(&Tiny::classifier());
    whole(&folder, &["lora.r=2"]);
    let whole = Result::of(&folder, "whole");
    broken_off(&folder, "whole", 2, "run");
    resumed(&folder, "run");
    Result::of(&folder, "run").assert_same(&whole, "a head of its own");
    // The configuration as resolved says all of it.
    let ran = folder.finetune(&["train", "--config", "runs/whole/config.toml", "--name", "again"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Result::of(&folder, "again").assert_same(&whole, "the resolved configuration");
    let config = folder.files("whole").config();
    assert_eq!(config["lora"]["modules_to_save"], vec!["classifier"].into());
}

#[test]
fn other_hyperparameters_are_used_when_changes_are_allowed() {
    let folder = classifier();
    whole(&folder, &["checkpoint.every=4"]);
    let model = |run: &str| folder.files(run).parameters();
    for (name, change) in [
        ("decay", "optimizer.weight_decay=0.9"),
        ("beta", "optimizer.beta1=0.5"),
        ("same", "optimizer.weight_decay=0.1"),
    ] {
        broken_off(&folder, "whole", 4, name);
        let run = format!("runs/{name}");
        let ran = folder.train(&["--resume", &run, "--allow-changes", "--set", change, "--name", name]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(model(name) == model("whole"), name == "same", "{change}");
    }
}

#[test]
fn another_chat_template_is_noticed() {
    let folder = decoder(json!({}));
    whole(&folder, &["checkpoint.every=4"]);
    broken_off(&folder, "whole", 4, "run");
    let before =
        folder.path("model/chat_template.jinja").exists().then(|| folder.text("model/chat_template.jinja"));
    folder.write("model/chat_template.jinja", "{{ messages[0]['content'] }}");
    let ran = folder.finetune(&["train", "--resume", "runs/run"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error().contains("model.path, chat_template.jinja"), "{}", ran.error());
    match before {
        Some(text) => folder.write("model/chat_template.jinja", text),
        None => std::fs::remove_file(folder.path("model/chat_template.jinja")).unwrap(),
    }
    resumed(&folder, "run");
}
