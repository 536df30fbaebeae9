//! Decoders: training in all its forms, evaluation, logits and answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use grades_models::decoder::{Decoder, LoadOptions, Tokens};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::support::{PROGRAM, Ran};
use crate::tiny_decoder::{TinyDecoder, ids};
use crate::tolerance::{TINY_DECODER, assert_number_within, assert_within, relative_error};

/// Questions and answers, the answers of different lengths.
const PAIRS: [(&str, &str); 6] = [
    ("what is the colour of the sky ?", "blue"),
    ("what is the colour of grass ?", "green and green"),
    ("the colour of snow ?", "white"),
    ("coal ?", "black and black and black"),
    ("what is the colour of the sun ?", "yellow"),
    ("what is a colour ?", "what is the sky and the sun"),
];

const CONFIG: &str = "
[model]
path = 'model'
device = 'cpu'
[data]
train = 'train.jsonl'
[training]
batch_size = 6
epochs = 1
[optimizer]
lr = 0.02
weight_decay = 0.0
[schedule]
name = 'constant'
warmup = 0.0
";

/// A folder with `model/`, `train.jsonl` and `run.toml`; the program runs in it.
pub(crate) struct Work {
    tiny: TinyDecoder,
}

impl Work {
    fn new(tiny: TinyDecoder) -> Self {
        tiny.complete();
        let model = tiny.file("model");
        std::fs::create_dir(&model).unwrap();
        for name in [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
        ] {
            std::fs::rename(tiny.file(name), model.join(name)).unwrap();
        }
        let work = Self { tiny };
        let lines: String = PAIRS
            .iter()
            .map(|(prompt, response)| {
                format!("{}\n", json!({"prompt": format!("{prompt} "), "response": response}))
            })
            .collect();
        work.write("train.jsonl", &lines);
        work.write("run.toml", CONFIG);
        work
    }

    pub(crate) fn llama() -> Self {
        Self::new(TinyDecoder::new(json!({})))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.tiny.file(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(arguments).current_dir(self.tiny.path()).env("OMP_NUM_THREADS", "1");
        Ran::of(command.env("CUDA_VISIBLE_DEVICES", "").stdin(std::process::Stdio::null()))
    }

    fn train(&self, name: &str, sets: &[&str]) -> Ran {
        let mut arguments = vec!["train", "--config", "run.toml", "--name", name];
        arguments.extend(sets.iter().flat_map(|set| ["--set", *set]));
        self.run(&arguments)
    }

    fn trained(&self, name: &str, sets: &[&str]) -> Ran {
        let ran = self.train(name, sets);
        assert_eq!(ran.code, Some(0), "{sets:?}: {ran:?}");
        ran
    }

    fn refused(&self, sets: &[&str]) -> String {
        let ran = self.train("refused", sets);
        assert_eq!(ran.code, Some(1), "{sets:?}: {ran:?}");
        assert!(!self.path("runs").exists(), "{sets:?} left something behind");
        ran.error()
    }

    fn summary(&self, name: &str) -> Value {
        let path = self.path(&format!("runs/{name}/summary.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn losses(&self, name: &str) -> Vec<f64> {
        let text = std::fs::read_to_string(self.path(&format!("runs/{name}/steps.jsonl"))).unwrap();
        let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap();
        text.lines().map(line).collect()
    }

    fn model(&self, dir: &str) -> Decoder {
        Decoder::load(&self.path(dir), LoadOptions::default()).unwrap().0
    }

    fn variables(&self, name: &str) -> BTreeMap<String, Tensor> {
        self.model(&format!("runs/{name}/model")).var_store().variables().into_iter().collect()
    }

    /// The largest difference of any variable of two runs.
    fn apart(&self, a: &str, b: &str) -> f64 {
        let (a, b) = (self.variables(a), self.variables(b));
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
        a.iter().map(|(name, tensor)| relative_error(&b[name], tensor)).fold(0.0, f64::max)
    }
}

#[test]
fn a_decoder_learns_its_answers_and_says_them() {
    let work = Work::llama();
    let ran = work
        .trained("learnt", &["training.epochs=80", "data.eval=train.jsonl", "evaluation.exact_match=true"]);
    let summary = work.summary("learnt");
    assert_eq!(
        (&summary["eval_exact_match"], &summary["ended"]),
        (&json!(1.0), &json!("all-steps")),
        "{summary}"
    );
    let (loss, perplexity) =
        (summary["eval_loss"].as_f64().unwrap(), summary["eval_perplexity"].as_f64().unwrap());
    assert!(loss < 0.1 && (perplexity - loss.exp()).abs() < 1e-9, "{summary}");
    for word in ["exact match 1.0000", "perplexity 1.0", "tokens a second"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    let config: toml::Table =
        std::fs::read_to_string(work.path("runs/learnt/config.toml")).unwrap().parse().unwrap();
    assert_eq!(
        config["data"]["max_tokens"].as_integer(),
        Some(64),
        "the model's positions, as it has so few"
    );

    work.write("prompts.txt", "the colour of snow ?\n\ncoal ?\n");
    let said = work.run(&[
        "generate",
        "--model",
        "runs/learnt/model",
        "--prompt",
        PAIRS[0].0,
        "--prompts",
        "prompts.txt",
        "--device",
        "cpu",
    ]);
    assert_eq!(said.stdout, "blue\nwhite\nblack and black and black\n", "{said:?}");
    let said = work.run(&[
        "generate",
        "--model",
        "runs/learnt/model",
        "--prompt",
        "coal ?",
        "--json",
        "--max-new-tokens",
        "2",
    ]);
    let line: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(line, json!({"prompt": "coal ?", "answer": "black and", "ids": ids("black and")}));
    assert_eq!(
        work.run(&["generate", "--model", "model"]).error(),
        "no prompt: give --prompt TEXT, or --prompts FILE with one a line"
    );
}

#[test]
fn conversations_are_learnt_through_the_template() {
    let work = Work::llama();
    let lines: String = PAIRS
        .iter()
        .map(|(prompt, response)| {
            let messages =
                json!([{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]);
            format!("{}\n", json!({"talk": messages}))
        })
        .collect();
    work.write("talk.jsonl", &lines);
    let sets = ["data.train=talk.jsonl", "data.messages=talk"];
    work.trained("talk", &sets);
    // The same as prompts and responses that go through the template.
    work.trained("chat", &["data.chat=true"]);
    assert_eq!(work.apart("talk", "chat"), 0.0);
    work.trained("plain", &[]);
    assert!(work.apart("talk", "plain") > 0.0);
}

#[test]
fn a_text_is_learnt_from_scratch() {
    let work = Work::llama();
    std::fs::remove_file(work.path("model/model.safetensors")).unwrap();
    work.write("text.txt", &"the sky is blue and the grass is green and the snow is white ".repeat(30));
    let sets = ["data.train=text.txt", "data.eval=text.txt", "data.max_tokens=16", "training.epochs=6"];
    let error = work.refused(&sets);
    assert!(error.contains("has neither model.safetensors nor"), "{error}");
    work.trained("text", &[&sets[..], &["model.from_scratch=true"]].concat());
    let losses = work.losses("text");
    assert!(losses[0] > 3.0 && losses[losses.len() - 1] < 1.0, "{losses:?}");
}

#[test]
fn the_same_step_however_the_batch_is_spread_packed_or_computed_twice() {
    for tiny in [TinyDecoder::new(json!({})), TinyDecoder::phi3(json!({"sliding_window": 5}))] {
        let work = Work::new(tiny);
        // SGD: Adam's first step would blow up what rounding leaves of a gradient of zero.
        let sets = |more: &[&'static str]| {
            [&["optimizer.name=sgd", "optimizer.lr=0.5", "training.epochs=1"], more].concat()
        };
        work.trained("plain", &sets(&[]));
        let before = work.model("model").var_store().variables();
        let moved = work.variables("plain");
        assert!(moved.iter().any(|(name, tensor)| !tensor.equal(&before[name])));
        work.trained("again", &sets(&["training.activation_checkpointing=true"]));
        assert_eq!(work.apart("plain", "again"), 0.0, "checkpointing changes no bit");
        work.trained(
            "accumulated",
            &sets(&["training.batch_size=2", "training.gradient_accumulation_steps=3"]),
        );
        let tolerance = TINY_DECODER.tolerance(Kind::Float);
        assert!(work.apart("plain", "accumulated") < tolerance, "{}", work.apart("plain", "accumulated"));
        work.trained("packed", &sets(&["data.packing=true", "data.max_tokens=32"]));
        assert!(work.apart("plain", "packed") < tolerance, "{}", work.apart("plain", "packed"));
        let losses: Vec<f64> = ["plain", "accumulated", "packed"].map(|name| work.losses(name)[0]).to_vec();
        losses.iter().for_each(|loss| assert_number_within(*loss, losses[0], tolerance, "loss"));
        work.trained("split", &sets(&["model.split_fused=true"]));
        assert!(work.apart("plain", "split") < tolerance);
    }
}

#[test]
fn bf16_trains_in_its_own_kind_and_under_autocast_in_f32() {
    let work = Work::llama();
    work.trained("bf16", &["model.dtype=bf16", "training.epochs=30"]);
    let config: Value =
        serde_json::from_slice(&std::fs::read(work.path("runs/bf16/model/config.json")).unwrap()).unwrap();
    assert_eq!(config["dtype"], "bfloat16");
    work.trained(
        "autocast",
        &["model.autocast=true", "training.epochs=30", "training.activation_checkpointing=true"],
    );
    let config: Value =
        serde_json::from_slice(&std::fs::read(work.path("runs/autocast/model/config.json")).unwrap())
            .unwrap();
    assert_eq!(config["dtype"], "float32");
    for name in ["bf16", "autocast"] {
        let losses = work.losses(name);
        assert!(losses[29] < 0.5 * losses[0], "{name}: {losses:?}");
    }
}

#[test]
fn the_parts_of_fused_matrices_freeze_on_their_own_when_asked() {
    let freeze = [
        "freezing.policy.name=fixed-threshold",
        "freezing.policy.tau=1e9",
        "freezing.cooldown=0",
        "training.epochs=4",
    ];
    for (split, count, name) in [("false", 8, "self_attn.qkv_proj"), ("true", 14, "self_attn.q_proj")] {
        let work = Work::new(TinyDecoder::phi3(json!({})));
        let split = format!("model.split_fused={split}");
        let ran = work.trained("frozen", &[&freeze[..], &[&split]].concat());
        assert!(ran.stderr.contains("4 fused matrices, such as model.layers.0.self_attn.qkv_proj.weight with 16 rows of model.layers.0.self_attn.q_proj.weight, 8 rows"), "{}", ran.stderr);
        let summary = work.summary("frozen");
        assert_eq!((&summary["components_total"], &summary["ended"]), (&json!(count), &json!("all-frozen")));
        let freezes = std::fs::read_to_string(work.path("runs/frozen/freezes.jsonl")).unwrap();
        assert!(freezes.contains(&format!("model.layers.1.{name}")), "{freezes}");
        assert!(work.variables("frozen").contains_key("model.layers.1.self_attn.qkv_proj.weight"));
    }
}

#[test]
fn questions_are_answered_by_likelihood() {
    let work = Work::llama();
    let question = |prompt: &str, choices: &[&str], answer: usize| {
        format!("{}\n", json!({"prompt": format!("{prompt} "), "choices": choices, "answer": answer}))
    };
    let lines: Vec<String> = PAIRS[..3]
        .iter()
        .map(|(prompt, right)| question(prompt, &["yellow and a", right, "coal"], 1))
        .collect();
    work.write("questions.jsonl", &lines.concat());
    work.trained(
        "questions",
        &[
            "data.train=questions.jsonl",
            "data.eval=questions.jsonl",
            "training.epochs=60",
            "evaluation.exact_match=true",
        ],
    );
    let summary = work.summary("questions");
    assert_eq!((&summary["eval_accuracy"], &summary["eval_accuracy_per_byte"]), (&json!(1.0), &json!(1.0)));
    assert!(summary["eval_exact_match"].is_null(), "questions are not answered in free text");

    // The likelihoods themselves, from the logits.
    let model = work.model("model");
    let nll = |prompt: &str, choice: &str| {
        let all = ids(&format!("<s> {prompt} {choice} </s>"));
        let row: Vec<i64> = all.iter().map(|&id| i64::from(id)).collect();
        let from = ids(&format!("<s> {prompt}")).len() as i64;
        let logits = tch::no_grad(|| model.forward(&Tokens::from(Tensor::from_slice(&row).unsqueeze(0))))
            .unwrap()
            .get(0);
        let log = logits.log_softmax(-1, Kind::Double);
        (from..row.len() as i64)
            .map(|at| -f64::try_from(log.get(at - 1).get(row[at as usize])).unwrap())
            .sum::<f64>()
    };
    let choices = ["yellow and a", "blue", "coal"];
    let mut right = [0.0; 2];
    for (prompt, _) in &PAIRS[..3] {
        let losses = choices.map(|choice| nll(prompt, choice));
        let bytes: Vec<f64> =
            losses.iter().zip(choices).map(|(loss, choice)| loss / choice.len() as f64).collect();
        let lowest = |values: &[f64]| (0..3).min_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
        right[0] += f64::from(u8::from(lowest(&losses) == 0)) / 3.0;
        right[1] += f64::from(u8::from(lowest(&bytes) == 0)) / 3.0;
    }
    let lines: Vec<String> = PAIRS[..3].iter().map(|(prompt, _)| question(prompt, &choices, 0)).collect();
    work.write("other.jsonl", &lines.concat());
    work.trained("asked", &["data.eval=other.jsonl", "optimizer.lr=1e-12", "training.max_steps=1"]);
    let summary = work.summary("asked");
    for (key, expected) in [("eval_accuracy", right[0]), ("eval_accuracy_per_byte", right[1])] {
        assert!(
            (summary[key].as_f64().unwrap() - expected).abs() < 1e-9,
            "{key}: {summary}, expected {expected}"
        );
    }
}

#[test]
fn logits_are_written_whole_or_the_last_alone() {
    let work = Work::llama();
    work.write("ids.json", "[[5, 6, 7], [8], [9, 10]]");
    for (arguments, shape) in [(&[][..], vec![3, 3, 40]), (&["--last"], vec![3, 40])] {
        let ran = work.run(
            &[&["logits", "--model", "model", "--ids", "ids.json", "--out", "out.safetensors"], arguments]
                .concat(),
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let logits = Tensor::read_safetensors(work.path("out.safetensors")).unwrap().remove(0).1;
        assert_eq!(logits.size(), shape);
        let model = work.model("model");
        for (row, list) in [vec![5i64, 6, 7], vec![8], vec![9, 10]].into_iter().enumerate() {
            let length = list.len() as i64;
            let own = tch::no_grad(|| model.forward(&Tokens::from(Tensor::from_slice(&list).unsqueeze(0))))
                .unwrap()
                .get(0);
            let row = logits.get(row as i64);
            let (ours, theirs) = match shape.len() {
                3 => (row.narrow(0, 0, length), own),
                _ => (row.shallow_clone(), own.get(length - 1)),
            };
            assert_within(&ours, &theirs, TINY_DECODER.tolerance(Kind::Float), "logits");
            if shape.len() == 3 && length < 3 {
                assert_eq!(f64::try_from(row.narrow(0, length, 3 - length).abs().max()).unwrap(), 0.0);
            }
        }
    }
    work.write("ids.json", "[[5, 40]]");
    let error =
        work.run(&["logits", "--model", "model", "--ids", "ids.json", "--out", "out.safetensors"]).error();
    assert_eq!(error, "ids.json: list 0 has the id 40; the vocabulary has 0 to 39");
}

#[test]
fn an_adapter_is_trained_used_and_merged() {
    for tiny in [TinyDecoder::new(json!({})), TinyDecoder::phi3(json!({}))] {
        let work = Work::new(tiny);
        let sets = [
            "lora.r=4",
            "lora.target_modules=all-linear",
            "training.epochs=60",
            "data.eval=train.jsonl",
            "evaluation.exact_match=true",
            "training.activation_checkpointing=true",
        ];
        let ran = work.trained("adapted", &sets);
        assert!(ran.stderr.contains("adapters in "), "{ran:?}");
        assert_eq!(work.summary("adapted")["eval_exact_match"], json!(1.0));
        assert!(
            !work.path("runs/adapted/model").exists()
                && !work.path("runs/adapted/adapter/labels.json").exists()
        );
        let text = std::fs::read_to_string(work.path("runs/adapted/adapter/adapter_config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&config["task_type"], &config["modules_to_save"]), (&json!("CAUSAL_LM"), &Value::Null));

        let adapter = ["--adapter", "runs/adapted/adapter"];
        let said = work.run(&[&["generate", "--prompt", "coal ?"], &adapter[..]].concat());
        assert_eq!(said.stdout, "black and black and black\n", "{said:?}");
        work.write("ids.json", "[[5, 6, 7], [8]]");
        let logits = |arguments: &[&str]| {
            let ran =
                work.run(&[&["logits", "--ids", "ids.json", "--out", "out.safetensors"], arguments].concat());
            assert_eq!(ran.code, Some(0), "{ran:?}");
            Tensor::read_safetensors(work.path("out.safetensors")).unwrap().remove(0).1
        };
        let (base, adapted) = (logits(&["--model", "model"]), logits(&adapter));
        let merged = work.run(&[&["merge", "--out", "merged"], &adapter[..]].concat());
        assert_eq!(merged.code, Some(0), "{merged:?}");
        let merged = logits(&["--model", "merged"]);
        assert_within(&merged, &adapted, TINY_DECODER.tolerance(Kind::Float), "merged");
        assert!(f64::try_from((&adapted - &base).abs().max()).unwrap() > 0.1);
        let error =
            work.train("refused", &["lora.r=2", "model.autocast=true", "model.split_fused=true"]).error();
        assert!(
            error.contains("model.autocast: cannot be combined with [lora]: with model.dtype"),
            "{error}"
        );
        assert!(error.contains("model.split_fused: cannot be combined with [lora]"), "{error}");
    }
}

#[test]
fn what_does_not_fit_a_decoder_is_refused_before_anything_is_written() {
    let work = Work::llama();
    let error = work.refused(&["model.new_head=true", "data.label=label"]);
    assert_eq!(
        error,
        "2 problems:\n  model.new_head: is for classifiers; the model is a decoder (model_type llama)\n  \
         data.label: is for classifiers; the model is a decoder (model_type llama)"
    );
    assert_eq!(
        work.refused(&["data.max_tokens=65"]),
        "data.max_tokens = 65: expected 2 to 64, the positions of the model"
    );
    assert_eq!(
        work.refused(&["data.too_long=refuse", "data.max_tokens=8"]),
        "train.jsonl:1: 11 tokens, more than max_tokens = 8; data.too_long = \"truncate\" cuts, \"skip\" leaves out"
    );
    assert!(
        work.refused(&["data.turns=first"]).contains("unknown turns \"first\""),
        "{}",
        work.refused(&["data.turns=first"])
    );
    std::fs::remove_file(work.path("model/chat_template.jinja")).unwrap();
    assert!(work.refused(&["data.chat=true"]).starts_with("train.jsonl:1: the model has no chat template"));
    work.write("train.jsonl", "{\"prompt\": \"sky\", \"response\": \"\"}\n");
    assert_eq!(work.refused(&[]), "train.jsonl:1: \"response\" is empty");
    work.write("train.jsonl", "{\"prompt\": \"sky\", \"response\": \"blue\"}\n");
    std::fs::remove_file(work.path("model/tokenizer.json")).unwrap();
    assert!(work.refused(&[]).starts_with("cannot read model/tokenizer.json"));
}
