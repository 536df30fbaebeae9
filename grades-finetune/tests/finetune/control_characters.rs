//! Control characters of names, files and paths never reach the terminal.

use serde_json::json;

use crate::support::{Folder, Ran, Tiny};
use crate::tiny_decoder::TinyDecoder;

/// Moves the cursor, clears the screen and turns the direction of writing.
const EVIL: &str = "e\u{1b}[2J\u{7}\u{9b}\u{202e}vil";
const SHOWN: &str = "e\\u{1b}[2J\\u{7}\\u{9b}\\u{202e}vil";

#[track_caller]
fn escaped(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        let hidden =
            text.chars().find(|&letter| letter != '\n' && (letter.is_control() || letter == '\u{202e}'));
        assert_eq!(hidden, None, "{text}");
    }
}

#[test]
fn labels_columns_and_files_are_escaped_in_what_a_run_prints() {
    let folder = Folder::new();
    let header = format!("{EVIL}1\t{EVIL}2\n");
    let line =
        |i: usize| format!("good film {EVIL}\t{}{EVIL}\n", if i.is_multiple_of(2) { "yes" } else { "no" });
    let train = format!("{EVIL}.tsv");
    folder.write(&train, header.clone() + &(0..8).map(line).collect::<String>());
    let data = format!("data.train={train}");
    let set = ["--set", "data.text=0", "--set", "data.label=1", "--set", "data.header=true", "--set"];
    let ran = folder.train(&[&set[..], &[&data, "--name", EVIL, "--eval", &train]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    escaped(&ran);
    assert!(ran.stderr.contains(&format!("column 0 \"{SHOWN}1\"")), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("no{SHOWN} 4")), "{}", ran.stderr);
    assert!(ran.stdout.contains(SHOWN), "{}", ran.stdout);
    let run = format!("runs/{EVIL}");
    for arguments in [&["inspect", &run][..], &["report", &run], &["train", "--resume", &run]] {
        let ran = folder.finetune(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        escaped(&ran);
    }
}

#[test]
fn errors_escape_what_they_name() {
    let folder = Folder::with(&Tiny::classifier());
    folder.write("train.tsv", format!("good\tyes\nbad\t{EVIL}\nerror\tno\n"));
    folder.write("ragged.csv", format!("text,label\ngood,yes\n{EVIL},no,more\n"));
    folder.write("lines.jsonl", json!({(EVIL): 1}).to_string());
    folder.write("broken.toml", format!("a = 1\n{EVIL} = \n"));
    folder.write("keys.toml", format!("[\"{EVIL}\"]\na = 1\n").replace(['\u{1b}', '\u{7}'], "\\u001b"));
    let gone = format!("gone{EVIL}\nerror: forged");
    let model = format!("model.path={EVIL}");
    for arguments in [
        &["train", "--config", "base.toml"][..],
        &["train", "--config", "base.toml", "--train", "ragged.csv"],
        &["train", "--config", "base.toml", "--train", "lines.jsonl"],
        &["train", "--config", "base.toml", "--train", &gone],
        &["train", "--config", "base.toml", "--set", &model],
        &["train", "--config", &gone],
        &["train", "--config", "broken.toml"],
        &["train", "--config", "keys.toml"],
        &["train", "--config", "base.toml", "--set", &format!("{EVIL}=1")],
        &["inspect", EVIL],
        &["report", EVIL, EVIL, "--out", EVIL],
        &["logits", "--model", "model", "--ids", EVIL, "--out", "out"],
        &["merge", "--adapter", EVIL, "--out", "out"],
        &["convert", "--model", EVIL, "--out", "out"],
        &["generate", "--model", EVIL, "--prompt", EVIL],
    ] {
        let ran = folder.finetune(arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        escaped(&ran);
        assert!(!ran.stderr.contains("\nerror: "), "{arguments:?}: a path forges a line: {}", ran.stderr);
        assert!(
            ran.stderr.contains("\\u{1b}[2J") || ran.stderr.contains("u001b"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
}

#[test]
fn templates_and_tokens_are_escaped() {
    let folder = Folder::decoder(&TinyDecoder::new(json!({})));
    folder.write("model/chat_template.jinja", format!("{{{{ raise_exception('{EVIL}') }}}}"));
    let line =
        json!({"messages": [{"role": "user", "content": EVIL}, {"role": "assistant", "content": "blue"}]});
    folder.write("train.jsonl", line.to_string());
    let ran = folder.train(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    escaped(&ran);
    assert!(ran.stderr.contains(SHOWN), "{}", ran.stderr);
}
