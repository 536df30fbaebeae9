//! Pairs of sentences: their columns, and the segments of their tokens.

use grades_finetune::data::{Column, Dataset, Limits, Source, Tokenizer, describe};
use serde_json::{Value, json};
use tch::{Device, Tensor};

use crate::data::examples::{examples, file, labels, tokenizer_file};
use crate::support::{Folder, Tiny};

/// The pair and the label of each line, or the error.
fn pairs(name: &str, content: &str, source: &Source) -> Result<Vec<[String; 3]>, String> {
    let records = examples(name, content.as_bytes(), source)?;
    Ok(records
        .list
        .into_iter()
        .map(|record| [record.text, record.pair.unwrap_or_default(), record.label])
        .collect())
}

#[test]
fn the_usual_names_make_a_pair_in_any_order() {
    for content in [
        "sentence1\tsentence2\tlabel\na b\tc\t1\nd\te\t0\n",
        "label\tsentence2\tsentence1\n1\tc\ta b\n0\te\td\n",
        "index\tpremise\thypothesis\tgold_label\n7\ta b\tc\t1\n8\td\te\t0\n",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\ta b\tc\t1\n1\t3\t4\td\te\t0\n",
        "index\tquestion\tsentence\tlabel\n0\ta b\tc\t1\n1\td\te\t0\n",
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t5\t6\ta b\tc\n0\t7\t8\td\te\n",
        "text\ttext_pair\tlabel\na b\tc\t1\nd\te\t0\n",
        // Of three columns the one that is left is the label.
        "sentence1\tsentence2\tentails\na b\tc\t1\nd\te\t0\n",
    ] {
        let source = if content.starts_with("Quality") {
            Source { label: Column::Name("Quality".into()), ..Source::default() }
        } else {
            Source::default()
        };
        let found = pairs("a.tsv", content, &source).unwrap();
        assert_eq!(found, [["a b", "c", "1"], ["d", "e", "0"]], "{content}");
    }
    let lines = "{\"sentence1\":\"a b\",\"sentence2\":\"c\",\"label\":1}\n{\"sentence1\":\"d\",\"sentence2\":\"e\",\"label\":0}\n";
    assert_eq!(pairs("a.jsonl", lines, &Source::default()).unwrap(), [["a b", "c", "1"], ["d", "e", "0"]]);
}

#[test]
fn what_is_said_decides() {
    let column = |name: &str| name.parse::<Column>().unwrap();
    let content = "sentence1\tsentence2\tlabel\na b\tc\t1\nd\te\t0\n";
    let with =
        |text: &str, pair: &str| Source { text: column(text), text_pair: column(pair), ..Source::default() };
    let both = [["c", "a b", "1"], ["e", "d", "0"]];
    assert_eq!(pairs("a.tsv", content, &with("sentence2", "sentence1")).unwrap(), both);
    let one = [["a b", "", "1"], ["d", "", "0"]];
    assert_eq!(pairs("a.tsv", content, &with("sentence1", "auto")).unwrap(), one, "a text alone is no pair");
    assert_eq!(pairs("a.tsv", content, &with("auto", "sentence2")).unwrap()[0], ["a b", "c", "1"]);
    let plain = Source { label: column("2"), ..with("0", "1") };
    assert_eq!(
        pairs("a.tsv", "a b\tc\tx\nd\te\ty\nd\te\tx\nd\te\ty\n", &plain).unwrap()[0],
        ["a b", "c", "x"]
    );
    struct Case {
        text: &'static str,
        pair: &'static str,
        expected: &'static str,
    }
    for Case { text, pair, expected } in [
        Case {
            text: "sentence1",
            pair: "sentence1",
            expected: "text = \"sentence1\" and text_pair = \"sentence1\" are the same column",
        },
        Case {
            text: "sentence1",
            pair: "other",
            expected: "no column \"other\" for the text_pair; the columns are",
        },
    ] {
        let error = pairs("a.tsv", content, &with(text, pair)).unwrap_err();
        assert!(error.contains(expected), "{text} {pair}: {error}");
    }
    let source = Source { label: column("label"), ..with("sentence1", "label") };
    let error = pairs("a.tsv", content, &source).unwrap_err();
    assert_eq!(error, "a.tsv: text_pair = \"label\" and label = \"label\" are the same column");
    let lines = "{\"sentence1\":\"a\",\"sentence2\":\" \",\"label\":1}\n";
    let error = pairs("a.jsonl", lines, &Source::default()).unwrap_err();
    assert_eq!(error, "a.jsonl:1: the second text of the pair is empty");
    let error = pairs("a.jsonl", "{\"sentence1\":\"a\",\"sentence2\":2,\"label\":1}\n", &Source::default());
    assert_eq!(error.unwrap_err(), "a.jsonl:1: \"sentence2\": expected a string, found 2");
    let error = pairs("a.jsonl", lines, &with("sentence1", "sentence1")).unwrap_err();
    assert_eq!(error, "a.jsonl: text and text_pair are the same key \"sentence1\"");
}

/// A tokenizer whose model has segments.
fn tokenizer(max_tokens: usize) -> Result<Tokenizer, String> {
    let (dir, path) = tokenizer_file();
    let config = json!({"model_input_names": ["input_ids", "token_type_ids"]});
    std::fs::write(dir.path("tokenizer_config.json"), config.to_string()).unwrap();
    let limits = Limits { max_tokens, max_positions: 20, vocab_size: 9 };
    Tokenizer::load(&path, limits).map_err(|error| error.to_string())
}

#[test]
fn second_sentences_are_in_a_segment_of_their_own() {
    let tokenizer = tokenizer(8).unwrap();
    let content = b"sentence1\tsentence2\tlabel\na b\tc\tx\nd\te\ty\na b c d e a b\te\tx\n";
    let records = {
        let (_dir, path) = file("a.tsv", content);
        grades_finetune::data::read(&path, &Source::default()).unwrap()
    };
    let known = labels(&["x", "y"]);
    let dataset = Dataset::new(&records, &known, &tokenizer).unwrap();
    assert_eq!(dataset.tokens(0), Some(&[2, 4, 5, 3, 6, 3][..]));
    assert_eq!(dataset.types(0), [0, 0, 0, 0, 1, 1]);
    // The longer one is cut.
    assert_eq!(dataset.tokens(2), Some(&[2, 4, 5, 6, 7, 3, 8, 3][..]));
    assert_eq!((dataset.truncated(), dataset.segments()), (1, 2));
    let batch = dataset.collate(&[1, 0], Device::Cpu).unwrap();
    assert_eq!(batch.types, Some(Tensor::from_slice2(&[[0i64, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1]])));
    assert_eq!(
        describe(&records, &known, &dataset),
        "a.tsv: a pair of texts is column 0 \"sentence1\" and column 1 \"sentence2\", label is column 2 \"label\" (line 1 is a \
         header); 3 examples: x 2, y 1; 1 are cut; first: \"a b\" and \"c\" → x"
    );
}

#[test]
fn a_pair_needs_room_beside_its_special_tokens() {
    let tokenizer = tokenizer(3).unwrap();
    assert_eq!(tokenizer.encode("a b").unwrap(), [2, 4, 3]);
    let error = tokenizer.encode_pair("a", "b").unwrap_err().to_string();
    assert_eq!(error, "max_tokens = 3 leaves no room beside 3 special tokens of a pair");
}

#[test]
fn a_classifier_of_pairs_trains_and_a_vocabulary_alone_is_a_tokenizer() {
    let folder = Folder::new();
    let tokenizer = folder.json("model/tokenizer.json");
    let mut pieces: Vec<(&String, &Value)> =
        tokenizer["model"]["vocab"].as_object().unwrap().iter().collect();
    pieces.sort_by_key(|(_, id)| id.as_u64());
    std::fs::remove_file(folder.path("model/tokenizer.json")).unwrap();
    folder.write("model/vocab.txt", pieces.iter().map(|(piece, _)| format!("{piece}\n")).collect::<String>());
    let line = |i: usize| {
        let (second, label) = if i.is_multiple_of(2) { ("good film", "yes") } else { ("bad film", "no") };
        format!("good film\t{second}\t{label}\n")
    };
    let header = "premise\thypothesis\tlabel\n".to_owned();
    folder.write("train.tsv", header.clone() + &(0..24).map(line).collect::<String>());
    folder.write("dev.tsv", header + &(0..8).map(line).collect::<String>());
    let run = folder.run(&["training.epochs=30", "optimizer.lr=0.02"]);
    // Only the second sentence says the label.
    assert_eq!(run.summary.eval.accuracy, Some(1.0));
    assert!(run.files.path.join("model/vocab.txt").exists());

    let mut tiny = Tiny::base();
    tiny.config["type_vocab_size"] = json!(1);
    tiny.add("embeddings.token_type_embeddings.weight", &[1, 8]);
    let small = Folder::with(&tiny);
    small.write("train.tsv", folder.text("train.tsv"));
    small.write("dev.tsv", folder.text("dev.tsv"));
    let error = small.run_refused(&[]);
    assert!(error.contains("the second text of a pair is in segment 1, the model has 1"), "{error}");
}
