//! `finetune predict` and `finetune chat` with a decoder.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::refused;
use crate::decoder::llama;
use crate::support::{Folder, PAIRS, PROGRAM, Ran, Tiny};

fn predict(folder: &Folder, arguments: &[&str]) -> String {
    super::predict_with(folder, "runs/base", arguments)
}

/// A decoder that has learnt its answers.
fn learnt(more: &[&str]) -> Folder {
    let folder = llama();
    folder.trained(&[&["--epochs", "80", "--no-report"], more].concat());
    folder
}

#[test]
fn prompts_are_answered_in_their_order_whatever_the_batch() {
    let folder = learnt(&[]);
    let prompts: Vec<&str> = PAIRS.iter().map(|(prompt, _)| *prompt).collect();
    let expected: String = PAIRS.iter().map(|(_, answer)| format!("{answer}\n")).collect();
    assert_eq!(predict(&folder, &prompts), expected);
    folder.write("prompts.txt", prompts.join("\n"));
    let lines: String =
        prompts.iter().map(|prompt| format!("{}\n", json!({"id": 1, "prompt": prompt}))).collect();
    folder.write("prompts.jsonl", &lines);
    folder.write("questions.jsonl", lines.replace("prompt", "question"));
    for arguments in [
        &["--file", "prompts.txt", "--batch-size", "1"][..],
        &["--file", "prompts.txt", "--batch-size", "4"],
        &["--file", "prompts.jsonl"],
        &["--file", "questions.jsonl", "--text", "question"],
    ] {
        assert_eq!(predict(&folder, arguments), expected, "{arguments:?}");
    }
    let line: Value = serde_json::from_str(&predict(&folder, &["--format", "jsonl", "coal ?"])).unwrap();
    assert_eq!((&line["prompt"], &line["answer"]), (&json!("coal ?"), &json!("black and black and black")));
    assert_eq!(predict(&folder, &["--format", "tsv", "coal ?"]), "answer\nblack and black and black\n");
    assert_eq!(predict(&folder, &["--stop", "and", "coal ?"]).trim(), "black");
    assert_eq!(predict(&folder, &["--max-new-tokens", "2", "coal ?"]), "black and\n");
    // A temperature near 0 draws what is most likely; a high one depends on the seed alone.
    assert_eq!(
        predict(&folder, &[&["--temperature", "0.01", "--seed", "3"], &prompts[..]].concat()),
        expected
    );
    let drawn = |seed: &str, batch: &str| {
        let options = ["--temperature", "4", "--top-k", "12", "--seed", seed, "--batch-size", batch];
        predict(&folder, &[&options, &prompts[..]].concat())
    };
    let first = drawn("1", "6");
    assert_eq!((first.as_str(), first.as_str()), (drawn("1", "6").as_str(), drawn("1", "2").as_str()));
    assert_ne!(first, drawn("2", "6"));
    assert_ne!(first, expected);
}

#[test]
fn a_conversation_reads_lines_and_commands() {
    let folder = learnt(&["--set", "data.chat=true"]);
    let [(sky, blue), _, (snow, white), ..] = PAIRS;
    let answers = predict(&folder, &["--chat", sky, snow]);
    assert_eq!(answers, format!("{blue}\n{white}\n"));
    let mut chat = folder.command(PROGRAM, &["chat", "--model", "runs/base", "--device", "cpu"]);
    chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut chat = chat.spawn().unwrap();
    let lines = format!("{sky}\n\n/clear\n{snow}\n/exit\n{sky}\n");
    chat.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let done = chat.wait_with_output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(String::from_utf8(done.stdout).unwrap(), answers);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_an_answer_and_not_the_conversation() {
    let folder = llama();
    // Nothing that this model draws ends an answer, so it goes on to the last position.
    let script = "mkfifo in; \"$0\" chat --model model --device cpu --temperature 50 --max-new-tokens 60 < in > out & \
                  pid=$!; exec 3> in; echo 'coal ?' >&3; \
                  for i in $(seq 300); do [ -s out ] && break; sleep 0.02; done; \
                  kill -INT $pid; echo '/exit' >&3; wait $pid";
    let ran = Ran::of(&mut folder.command("bash", &["-c", script, PROGRAM]));
    // In a shell without job control a background process ignores SIGINT unless it handles it, as this one does.
    assert!(matches!(ran.code, Some(0 | 130)), "{ran:?}");
    assert!(!folder.text("out").is_empty());
}

#[test]
fn what_cannot_be_answered_is_refused_with_the_cure() {
    let folder = llama();
    Tiny::classifier().write_to(&folder.path("classifier"));
    std::fs::create_dir(folder.path("plain")).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(folder.path("model").join(file), folder.path("plain").join(file)).unwrap();
    }
    folder.write("long.txt", format!("coal ?\n{}\n", "coal ".repeat(80)));
    folder.write("bad.jsonl", "{\"prompt\": \"coal ?\"}\n{\"promt\": \"coal ?\"}\n");
    let cases: [(&[&str], &str); 7] = [
        (
            &["--model", "plain", "--chat", "coal ?"],
            "plain has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): answer prompts \
             without --chat, or use a model that was trained for conversations",
        ),
        (&["--model", "model", "--pairs", "coal", "sky"], "--pairs is for classifiers; model is a decoder"),
        (&["--model", "classifier", "--chat", "good"], "--chat is for decoders; classifier is a classifier"),
        (
            &["--model", "classifier", "--temperature", "1", "good"],
            "--temperature is for decoders; classifier is a classifier",
        ),
        (
            &["--model", "model", "--top-p", "1.5", "coal ?"],
            "top_p: expected a share above 0, up to 1, found 1.5",
        ),
        (
            &["--model", "model", "--file", "bad.jsonl"],
            "bad.jsonl:2: \"prompt\": expected a string, found no such key",
        ),
        (&["--model", "model"], "no text: give TEXT, --file FILE, or - for standard input"),
    ];
    for (arguments, message) in cases {
        assert_eq!(refused(&folder, arguments), message, "{arguments:?}");
    }
    let error = refused(&folder, &["--model", "model", "--file", "long.txt"]);
    assert!(error.starts_with("long.txt:2: the prompt has ") && error.ends_with("; shorten it"), "{error}");
    let ran = folder.finetune(&["chat", "--model", "classifier"]);
    assert_eq!(
        ran.error(),
        "classifier is a classifier, which has no answers; finetune predict labels texts"
    );
}
