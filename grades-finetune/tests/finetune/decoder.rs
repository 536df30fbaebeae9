//! Decoders: training in all its forms, evaluation, logits and answers.

use std::collections::BTreeMap;
use std::path::Path;

use grades_finetune::records::{StopReason, Summary};
use grades_models::decoder::{Decoder, LoadOptions, Tokens};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::support::{Folder, PAIRS, Run};
use crate::tiny_decoder::{TinyDecoder, ids};
use crate::tolerance::{FORMULA, TINY_DECODER, assert_number_within, assert_within, relative_error};

pub(crate) fn llama() -> Folder {
    Folder::decoder(&TinyDecoder::new(json!({})))
}

fn model(dir: &Path) -> Decoder {
    Decoder::load(dir, LoadOptions::default()).unwrap().0
}

fn variables(run: &Run) -> BTreeMap<String, Tensor> {
    model(&run.files.path.join("model")).var_store().variables().into_iter().collect()
}

/// The losses of all steps.
pub(crate) fn losses(run: &Run) -> Vec<f64> {
    run.log.steps.iter().map(|step| step.loss).collect()
}

/// The largest difference of any variable of two runs.
fn apart(a: &Run, b: &Run) -> f64 {
    let (a, b) = (variables(a), variables(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    a.iter().map(|(name, tensor)| relative_error(&b[name], tensor)).fold(0.0, f64::max)
}

#[test]
fn a_decoder_learns_its_answers_and_says_them() {
    let folder = llama();
    let learnt = ["--name", "learnt", "--epochs", "80", "--eval", "train.jsonl"];
    let ran = folder.trained(&[&learnt[..], &["--set", "evaluation.exact_match=true"]].concat());
    let summary = folder.files("learnt").summary();
    let scores = summary.eval;
    assert_eq!((scores.exact_match, summary.ended), (Some(1.0), StopReason::AllSteps), "{summary:?}");
    let (loss, perplexity) = (scores.loss.unwrap(), scores.perplexity.unwrap());
    assert!(loss < 0.1, "{summary:?}");
    assert_number_within(perplexity, loss.exp(), FORMULA, "perplexity");
    for word in ["exact match 1.0000", "perplexity 1.0", "tokens a second"] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    assert_eq!(
        folder.files("learnt").config()["data"]["max_tokens"].as_integer(),
        Some(64),
        "the model's positions, as it has so few"
    );

    folder.write("prompts.txt", "the colour of snow ?\n\ncoal ?\n");
    let said = folder.finetune(&[
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
    let said = folder.finetune(&[
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
        folder.finetune(&["generate", "--model", "model"]).error(),
        "no prompt: give --prompt TEXT, or --prompts FILE with one a line"
    );
}

#[test]
fn conversations_are_learnt_through_the_template() {
    let folder = llama();
    let lines: String = PAIRS
        .iter()
        .map(|(prompt, response)| {
            let messages =
                json!([{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]);
            format!("{}\n", json!({"talk": messages}))
        })
        .collect();
    folder.write("talk.jsonl", lines);
    let talk = folder.run(&["data.train=talk.jsonl", "data.messages=talk"]);
    // The same as prompts and responses that go through the template.
    let chat = folder.run(&["data.chat=true"]);
    assert_eq!(apart(&talk, &chat), 0.0);
    let plain = folder.run(&[]);
    assert!(apart(&talk, &plain) > 0.0);
}

#[test]
fn a_text_is_learnt_from_scratch() {
    let folder = llama();
    std::fs::remove_file(folder.path("model/model.safetensors")).unwrap();
    folder.write("text.txt", "the sky is blue and the grass is green and the snow is white ".repeat(30));
    let sets = ["data.train=text.txt", "data.eval=text.txt", "data.max_tokens=16", "training.epochs=6"];
    let error = folder.run_refused(&sets);
    assert!(error.contains("has neither model.safetensors nor"), "{error}");
    let losses = losses(&folder.run(&[&sets[..], &["model.from_scratch=true"]].concat()));
    assert!(losses[0] > 3.0 && losses[losses.len() - 1] < 1.0, "{losses:?}");
}

#[test]
fn the_same_step_however_the_batch_is_spread_packed_or_computed_twice() {
    for tiny in [TinyDecoder::new(json!({})), TinyDecoder::phi3(json!({"sliding_window": 5}))] {
        let folder = Folder::decoder(&tiny);
        // SGD: Adam's first step would blow up what rounding leaves of a gradient of zero.
        let run = |more: &[&str]| {
            let sgd = ["optimizer.name=sgd", "optimizer.lr=0.5", "training.epochs=1"];
            folder.run(&[&sgd[..], more].concat())
        };
        let plain = run(&[]);
        let before = model(&folder.path("model")).var_store().variables();
        assert!(variables(&plain).iter().any(|(name, tensor)| !tensor.equal(&before[name])));
        let again = run(&["training.activation_checkpointing=true"]);
        assert_eq!(apart(&plain, &again), 0.0, "checkpointing changes no bit");
        let tolerance = TINY_DECODER.tolerance(Kind::Float);
        for (name, spread) in [
            ("accumulated", ["training.batch_size=2", "training.gradient_accumulation_steps=3"]),
            ("packed", ["data.packing=true", "data.max_tokens=32"]),
        ] {
            let spread = run(&spread);
            assert!(apart(&plain, &spread) < tolerance, "{name}: {}", apart(&plain, &spread));
            assert_number_within(losses(&spread)[0], losses(&plain)[0], tolerance, name);
        }
        assert!(apart(&plain, &run(&["model.split_fused=true"])) < tolerance);
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
    struct Case {
        split: bool,
        components: usize,
        component: &'static str,
    }
    let cases = [
        Case { split: false, components: 8, component: "model.layers.1.self_attn.qkv_proj" },
        Case { split: true, components: 14, component: "model.layers.1.self_attn.q_proj" },
    ];
    for Case { split, components, component } in cases {
        let folder = Folder::decoder(&TinyDecoder::phi3(json!({})));
        let run = folder.run(&[&freeze[..], &[&format!("model.split_fused={split}")]].concat());
        let fused = "4 fused matrices, such as model.layers.0.self_attn.qkv_proj.weight with 16 rows of \
                     model.layers.0.self_attn.q_proj.weight, 8 rows";
        assert!(run.log.notes.iter().any(|note| note.contains(fused)), "{:?}", run.log.notes);
        let Summary { ended, freezing, .. } = &run.summary;
        assert_eq!((freezing.components_total, *ended), (components, StopReason::AllFrozen));
        assert!(run.log.freezes.iter().any(|event| event.component == component), "{:?}", run.log.freezes);
        assert!(variables(&run).contains_key("model.layers.1.self_attn.qkv_proj.weight"));
    }
}

#[test]
fn questions_are_answered_by_likelihood() {
    let folder = llama();
    let question = |prompt: &str, choices: &[&str], answer: usize| {
        format!("{}\n", json!({"prompt": format!("{prompt} "), "choices": choices, "answer": answer}))
    };
    let lines: Vec<String> = PAIRS[..3]
        .iter()
        .map(|(prompt, right)| question(prompt, &["yellow and a", right, "coal"], 1))
        .collect();
    folder.write("questions.jsonl", lines.concat());
    let run = folder.run(&[
        "data.train=questions.jsonl",
        "data.eval=questions.jsonl",
        "training.epochs=60",
        "evaluation.exact_match=true",
    ]);
    let scores = run.summary.eval;
    assert_eq!((scores.accuracy, scores.accuracy_per_byte), (Some(1.0), Some(1.0)));
    assert_eq!(scores.exact_match, None, "questions are not answered in free text");

    // The likelihoods themselves, from the logits.
    let model = model(&folder.path("model"));
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
    folder.write("other.jsonl", lines.concat());
    let asked = folder.run(&["data.eval=other.jsonl", "optimizer.lr=1e-12", "training.max_steps=1"]);
    let scores = asked.summary.eval;
    assert_number_within(scores.accuracy.unwrap(), right[0], FORMULA, "accuracy");
    assert_number_within(scores.accuracy_per_byte.unwrap(), right[1], FORMULA, "accuracy per byte");
}

#[test]
fn logits_are_written_whole_or_the_last_alone() {
    let folder = llama();
    folder.write("ids.json", "[[5, 6, 7], [8], [9, 10]]");
    for (arguments, shape) in [(&[][..], vec![3, 3, 40]), (&["--last"], vec![3, 40])] {
        let ran = folder.finetune(
            &[&["logits", "--model", "model", "--ids", "ids.json", "--out", "out.safetensors"], arguments]
                .concat(),
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let logits = Tensor::read_safetensors(folder.path("out.safetensors")).unwrap().remove(0).1;
        assert_eq!(logits.size(), shape);
        let model = model(&folder.path("model"));
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
    folder.write("ids.json", "[[5, 40]]");
    let error = folder
        .finetune(&["logits", "--model", "model", "--ids", "ids.json", "--out", "out.safetensors"])
        .error();
    assert_eq!(error, "ids.json: list 0 has the id 40; the vocabulary has 0 to 39");
}

#[test]
fn an_adapter_is_trained_used_and_merged() {
    for tiny in [TinyDecoder::new(json!({})), TinyDecoder::phi3(json!({}))] {
        let folder = Folder::decoder(&tiny);
        let run = folder.run(&[
            "output.name=adapted",
            "lora.r=4",
            "lora.target_modules=all-linear",
            "training.epochs=60",
            "data.eval=train.jsonl",
            "evaluation.exact_match=true",
            "training.activation_checkpointing=true",
        ]);
        assert!(run.log.notes.iter().any(|note| note.starts_with("adapters in ")), "{:?}", run.log.notes);
        assert_eq!(run.summary.eval.exact_match, Some(1.0));
        assert!(
            !folder.path("runs/adapted/model").exists()
                && !folder.path("runs/adapted/adapter/labels.json").exists()
        );
        let config = folder.json("runs/adapted/adapter/adapter_config.json");
        assert_eq!((&config["task_type"], &config["modules_to_save"]), (&json!("CAUSAL_LM"), &Value::Null));

        let adapter = ["--adapter", "runs/adapted/adapter"];
        let said = folder.finetune(&[&["generate", "--prompt", "coal ?"], &adapter[..]].concat());
        assert_eq!(said.stdout, "black and black and black\n", "{said:?}");
        folder.write("ids.json", "[[5, 6, 7], [8]]");
        let logits = |arguments: &[&str]| {
            let ran = folder.finetune(
                &[&["logits", "--ids", "ids.json", "--out", "out.safetensors"], arguments].concat(),
            );
            assert_eq!(ran.code, Some(0), "{ran:?}");
            Tensor::read_safetensors(folder.path("out.safetensors")).unwrap().remove(0).1
        };
        let (base, adapted) = (logits(&["--model", "model"]), logits(&adapter));
        let merged = folder.finetune(&[&["merge", "--out", "merged"], &adapter[..]].concat());
        assert_eq!(merged.code, Some(0), "{merged:?}");
        let merged = logits(&["--model", "merged"]);
        assert_within(&merged, &adapted, TINY_DECODER.tolerance(Kind::Float), "merged");
        assert!(f64::try_from((&adapted - &base).abs().max()).unwrap() > 0.1);
        let error = folder.run_refused(&["lora.r=2", "model.split_fused=true"]);
        assert!(error.contains("model.split_fused: cannot be combined with [lora]"), "{error}");
    }
}

#[test]
fn what_does_not_fit_a_decoder_is_refused_before_anything_is_written() {
    let folder = llama();
    let error = folder.run_refused(&["model.new_head=true", "data.label=label"]);
    assert_eq!(
        error,
        "2 problems:\n  model.new_head: is for classifiers; the model is a decoder (model_type llama)\n  \
         data.label: is for classifiers; the model is a decoder (model_type llama)"
    );
    assert_eq!(
        folder.run_refused(&["data.max_tokens=65"]),
        "data.max_tokens = 65: expected 2 to 64, the positions of the model"
    );
    assert_eq!(
        folder.run_refused(&["data.too_long=refuse", "data.max_tokens=8"]),
        "train.jsonl:1: 11 tokens, more than max_tokens = 8; data.too_long = \"truncate\" cuts, \"skip\" leaves out"
    );
    assert!(
        folder.run_refused(&["data.turns=first"]).contains("unknown turns \"first\""),
        "{}",
        folder.run_refused(&["data.turns=first"])
    );
    std::fs::remove_file(folder.path("model/chat_template.jinja")).unwrap();
    assert!(
        folder.run_refused(&["data.chat=true"]).starts_with("train.jsonl:1: the model has no chat template")
    );
    folder.write("train.jsonl", "{\"prompt\": \"sky\", \"response\": \"\"}\n");
    assert_eq!(folder.run_refused(&[]), "train.jsonl:1: \"response\" is empty");
    folder.write("train.jsonl", "{\"prompt\": \"sky\", \"response\": \"blue\"}\n");
    std::fs::remove_file(folder.path("model/tokenizer.json")).unwrap();
    assert!(folder.run_refused(&[]).starts_with("cannot read model/tokenizer.json"));
}
