//! `finetune predict` with a classifier.

use std::fmt::Write as _;

use grades_models::bert::{BertClassifier, LoadOptions};
use serde_json::Value;
use tch::{Kind, Tensor};

use super::refused;
use crate::support::{Folder, Tiny};
use crate::tolerance::{TINY_BERT, assert_number_within};

fn predict(folder: &Folder, arguments: &[&str]) -> String {
    super::predict_with(folder, "model", arguments)
}

#[test]
fn predictions_are_those_of_the_model_in_the_order_of_the_lines() {
    let folder = Folder::with(&Tiny::classifier());
    const WORDS: [&str; 5] =
        ["good", "bad film", "it was very good", "the day is a book and not a meal", "not"];
    let lines: Vec<String> = (0..90).map(|i| format!("{} {}", WORDS[i % 5], WORDS[(i / 5) % 3])).collect();
    folder.write("texts.txt", lines.join("\n") + "\n");
    let shown = predict(&folder, &["--file", "texts.txt", "--batch-size", "7"]);
    let mut rows = shown.lines();
    assert_eq!(rows.next(), Some("label\tno\tyes"));
    let (model, _) = BertClassifier::load(&folder.path("model"), LoadOptions::default()).unwrap();
    let ids = |line: &str| -> Vec<i64> {
        const KNOWN: [&str; 14] = [
            "good", "bad", "film", "meal", "day", "book", "the", "was", "is", "a", "very", "not", "it", "and",
        ];
        let word = |word: &str| 4 + KNOWN.iter().position(|known| *known == word).unwrap() as i64;
        [&[2][..], &line.split(' ').map(word).collect::<Vec<_>>(), &[3]].concat()
    };
    for (line, row) in lines.iter().zip(rows.by_ref()) {
        let cells: Vec<&str> = row.split('\t').collect();
        let ids = Tensor::from_slice(&ids(line)).unsqueeze(0);
        let logits = tch::no_grad(|| model.forward(&ids, &ids.ones_like(), false)).unwrap();
        let expected = Vec::<f64>::try_from(logits.softmax(-1, Kind::Double).squeeze()).unwrap();
        for (cell, expected) in cells[1..].iter().zip(&expected) {
            assert_number_within(cell.parse().unwrap(), *expected, TINY_BERT.tolerance(Kind::Float), line);
        }
        assert_eq!(cells[0], if expected[1] > expected[0] { "yes" } else { "no" }, "{line}");
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn every_way_to_give_texts_has_the_same_predictions() {
    let folder = Folder::with(&Tiny::classifier());
    folder.write("texts.txt", "good film\nbad\n");
    folder.write("texts.tsv", "id\tsentence\n1\tgood film\n2\tbad\n");
    folder.write("texts.csv", "\u{feff}a,text\n1,\"good film\"\n2,bad\n");
    folder.write("semicolons.csv", "a;text\n1;good film\n2;bad\n");
    folder.write("texts.jsonl", "{\"note\": 1, \"review\": \"good film\"}\n\n{\"review\": \"bad\"}\n");
    folder.write("columns.tsv", "x\ty\tz\n1\tgood film\t2\n3\tbad\t4\n");
    let expected = predict(&folder, &["good film", "bad"]);
    assert_eq!(expected.lines().count(), 3);
    for arguments in [
        &["--file", "texts.txt"][..],
        &["--file", "texts.tsv"],
        &["--file", "texts.csv"],
        &["--file", "semicolons.csv"],
        &["--file", "texts.jsonl"],
        &["--file", "columns.tsv", "--text", "y"],
        &["--file", "columns.tsv", "--text", "1", "--header", "true"],
    ] {
        assert_eq!(predict(&folder, arguments), expected, "{arguments:?}");
    }
    // Names of columns decide as in training data.
    folder.write("verdict.tsv", "verdict\treview\nyes\tgood film\nno\tbad\n");
    folder.write("label.tsv", "label\tnotes\nyes\tgood film\nno\tbad\n");
    folder.write("stars.csv", "review,stars\ngood film,5\nbad,1\n");
    for file in ["verdict.tsv", "label.tsv", "stars.csv"] {
        assert_eq!(predict(&folder, &["--file", file]), expected, "{file}");
    }
    let piped = folder.command(
        "bash",
        &["-c", "\"$0\" predict --model model --device cpu - < texts.txt", crate::support::PROGRAM],
    );
    assert_eq!(crate::support::Ran::of(&mut { piped }).stdout, expected);

    let lines = predict(&folder, &["--format", "jsonl", "good film", "bad\tday"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1]["text"]), (2, &Value::from("bad\tday")));
    let first: Vec<&str> = expected.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!(
        (lines[0]["label"].as_str(), lines[0]["probabilities"]["no"].to_string()),
        (Some(first[0]), first[1].to_owned())
    );
}

#[test]
fn pairs_are_predicted_as_pairs() {
    let folder = Folder::with(&Tiny::classifier());
    folder.write("pairs.tsv", "sentence1\tsentence2\ngood film\tbad day\nbad\tgood\n");
    folder.write("pairs.jsonl", "{\"premise\": \"good film\", \"hypothesis\": \"bad day\"}\n{\"premise\": \"bad\", \"hypothesis\": \"good\"}\n");
    let expected = predict(&folder, &["--pairs", "good film", "bad day", "bad", "good"]);
    assert_eq!(expected.lines().count(), 3);
    for file in ["pairs.tsv", "pairs.jsonl"] {
        assert_eq!(predict(&folder, &["--file", file]), expected, "{file}");
    }
    assert_ne!(
        predict(&folder, &["--file", "pairs.tsv", "--text", "sentence1"]),
        expected,
        "first texts alone"
    );
    assert_eq!(
        refused(&folder, &["--model", "model", "--pairs", "one"]),
        "--pairs: expected an even number of texts, found 1"
    );
}

#[test]
fn the_columns_are_those_of_the_run() {
    let folder = Folder::new();
    folder.write("own.tsv", "one\ttwo\tthree\ngood\tvery good film\tyes\nbad\tvery bad film\tno\n");
    folder.trained(&[
        "--train",
        "own.tsv",
        "--eval",
        "own.tsv",
        "--set",
        "data.text=two",
        "--set",
        "data.label=three",
        "--max-steps",
        "1",
    ]);
    let by_run =
        folder.finetune(&["predict", "--model", "runs/base", "--device", "cpu", "--file", "own.tsv"]);
    let texts = folder.finetune(&[
        "predict",
        "--model",
        "runs/base",
        "--device",
        "cpu",
        "very good film",
        "very bad film",
    ]);
    assert_eq!((by_run.code, &by_run.stdout), (Some(0), &texts.stdout), "{by_run:?}");
}

#[test]
fn what_cannot_be_predicted_is_refused_with_the_line_and_the_cure() {
    let folder = Folder::with(&Tiny::classifier());
    Tiny::base().write_to(&folder.path("base"));
    folder.write("latin.txt", b"good\ncaf\xe9\n");
    folder.write("wide.txt", b"\xff\xfeg\0o\0");
    folder.write("ragged.tsv", "text\tlabel\ngood\tyes\nbad\n");
    folder.write("many.tsv", "a\tb\tc\n1\t2\t3\n");
    folder.write("number.jsonl", "{\"text\": \"good\"}\n{\"text\": 3}\n");
    folder.write("texts.bin", "good\n");
    let cases: [(&[&str], &str); 9] = [
        (
            &["--model", "base", "good"],
            "base has no classification head, so it predicts nothing yet; train one: finetune train --model base --train FILE",
        ),
        (&["--model", "model"], "no text: give TEXT, --file FILE, or - for standard input"),
        (
            &["--model", "model", "--file", "latin.txt"],
            "latin.txt:2: not valid UTF-8, from byte 4 of the line or cell on; if the file is Latin-1, `iconv -f ISO-8859-1 \
             -t UTF-8 latin.txt > utf8-latin.txt` makes UTF-8 of it",
        ),
        (
            &["--model", "model", "--file", "wide.txt"],
            "wide.txt: is UTF-16; `iconv -f UTF-16 -t UTF-8 wide.txt > utf8-wide.txt` makes UTF-8 of it",
        ),
        (&["--model", "model", "--file", "ragged.tsv"], "ragged.tsv:3: has 1 cells, the first line has 2"),
        (
            &["--model", "model", "--file", "many.tsv"],
            "many.tsv:1: has 3 columns (0 \"a\", 1 \"b\", 2 \"c\"), and nothing says which is the text; say so with --text \
             COLUMN",
        ),
        (
            &["--model", "model", "--file", "number.jsonl"],
            "number.jsonl:2: \"text\": expected a string, found 3",
        ),
        (
            &["--model", "model", "--file", "texts.bin"],
            "texts.bin: the extension names no format; expected .txt (a text a line), .tsv, .csv or .jsonl, or give the \
             format",
        ),
        (
            &["--model", "model", "--max-tokens", "17", "good"],
            "max_tokens = 17 is beyond the 16 positions of the model",
        ),
    ];
    for (arguments, message) in cases {
        assert_eq!(refused(&folder, arguments), message, "{arguments:?}");
    }
    // Lines before the one that cannot be read are predicted.
    let ran = folder.finetune(&["predict", "--model", "model", "--device", "cpu", "--file", "latin.txt"]);
    assert_eq!(ran.stdout.lines().count(), 2, "{ran:?}");
    // More text than positions is cut, and said.
    let long = "good ".repeat(40);
    let ran = folder.finetune(&["predict", "--model", "model", "--device", "cpu", &long]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("1 texts were cut to the longest sequence of the model"), "{ran:?}");
}

/// The most memory that a prediction of this many lines takes, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory(folder: &Folder, lines: usize) -> u64 {
    let mut text = String::new();
    for i in 0..lines {
        let _ = writeln!(text, "very good film {}", ["and", "not", "a", "the"][i % 4]);
    }
    let name = format!("{lines}.txt");
    folder.write(&name, text);
    let script = "\"$0\" predict --model model --device cpu --batch-size 512 --file \"$1\" > \"$1.tsv\" & \
                  pid=$!; most=0; while kill -0 $pid 2> /dev/null; do \
                  now=$(sed -n 's/^VmHWM: *\\([0-9]*\\) kB/\\1/p' /proc/$pid/status 2> /dev/null); most=${now:-$most}; \
                  sleep 0.02; done; wait $pid && echo $most";
    let ran =
        crate::support::Ran::of(&mut folder.command("bash", &["-c", script, crate::support::PROGRAM, &name]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(folder.text(&format!("{name}.tsv")).lines().count(), lines + 1);
    ran.stdout.trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_file() {
    let folder = Folder::with(&Tiny::classifier());
    let (few, many) = (peak_memory(&folder, 5_000), peak_memory(&folder, 50_000));
    // The text of the other lines alone has a megabyte, their tokens and tensors are several.
    assert!(many < few + 4096, "{few} KiB for 5,000 lines, {many} KiB for 50,000");
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_read_enough_ends_the_predictions() {
    let folder = Folder::with(&Tiny::classifier());
    // The input has no end.
    let script =
        "yes good film | \"$0\" predict --model model --device cpu - | head -n 1; echo ${PIPESTATUS[1]}";
    let ran = crate::support::Ran::of(&mut folder.command("bash", &["-c", script, crate::support::PROGRAM]));
    assert_eq!(ran.stdout, "label\tno\tyes\n0\n", "{ran:?}");
}
