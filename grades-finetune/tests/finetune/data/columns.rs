//! Columns and labels are read by name; what is uncertain is refused with the cure.

use grades_finetune::data::{Dataset, Header, Labels, Limits, Records, Source, Tokenizer, describe};

use crate::data::examples::{examples, tokenizer_file};
use crate::support::Folder;

fn auto(name: &str, content: &str) -> Result<Records, String> {
    examples(name, content.as_bytes(), &Source::default())
}

/// The texts and labels of a file of which nothing is said.
fn pairs(name: &str, content: &str) -> Vec<(String, String)> {
    let records = auto(name, content).unwrap();
    records.list.into_iter().map(|record| (record.text, record.label)).collect()
}

fn expect(name: &str, content: &str, expected: &[(&str, &str)]) {
    let found = pairs(name, content);
    let found: Vec<(&str, &str)> =
        found.iter().map(|(text, label)| (text.as_str(), label.as_str())).collect();
    assert_eq!(found, expected, "{name}: {content}");
}

/// A file of which nothing is said, and the error for it.
struct Refused {
    name: &'static str,
    content: &'static str,
    error: &'static str,
}

fn refused(cases: &[Refused]) {
    for Refused { name, content, error } in cases {
        let found = auto(name, content).unwrap_err();
        assert!(found.contains(error), "{content:?}\nexpected: {error}\nfound:    {found}");
    }
}

#[test]
fn names_decide_whatever_the_order() {
    let expected = [("good day", "yes"), ("bad day", "no")];
    for content in [
        "text,label\ngood day,yes\nbad day,no\n",
        "label,text\nyes,good day\nno,bad day\n",
        "review,sentiment\ngood day,yes\nbad day,no\n",
        "Sentiment,Review\nyes,good day\nno,bad day\n",
        "id,sentence,class\n7,good day,yes\n8,bad day,no\n",
        ",text,label\n0,good day,yes\n1,bad day,no\n",
        "text,label,\ngood day,yes,\nbad day,no,\n",
        "category,when,TEXT\nyes,today,good day\nno,today,bad day\n",
    ] {
        expect("a.csv", content, &expected);
        assert!(auto("a.csv", content).unwrap().header, "{content}");
    }
    let named = Source { text: "TEXT".parse().unwrap(), ..Source::default() };
    let records = examples("a.csv", b"text,mood\na,1\nb,0\n", &named).unwrap();
    assert_eq!(records.columns.unwrap().text, "column 0 \"text\"");
}

#[test]
fn a_header_is_unlike_the_rows_below() {
    let records = auto("a.tsv", "comment on it\tgiven\ngood\t1\nbad\t0\n").unwrap();
    assert!(records.header);
    assert_eq!(records.list.len(), 2);
    // Two lines of an example each are no header.
    expect("a.tsv", "good\tyes\nbad\tno\n", &[("good", "yes"), ("bad", "no")]);
    let alone = "remark,feeling\ngood,yes\nbad,no\nfine,yes\npoor,no\n";
    let error = auto("a.csv", alone).unwrap_err();
    assert_eq!(
        error,
        "a.csv:1: looks like a header (\"remark\", \"feeling\"): no other line has the label \"feeling\"; say data.header = \
         true if it names the columns, false if it is an example"
    );
    let said = |header| examples("a.csv", alone.as_bytes(), &Source { header, ..Source::default() }).unwrap();
    assert_eq!((said(Header::Yes).list.len(), said(Header::No).list.len()), (4, 5));
}

#[test]
fn more_columns_than_two_are_chosen_by_the_user() {
    refused(&[
        Refused {
            name: "a.csv",
            content: "key,remark,feeling\na,good,yes\nb,bad,no\n",
            error: "a.csv:1: has 3 columns (0 \"key\", 1 \"remark\", 2 \"feeling\"), and nothing says which is the text and \
                    which the label; say so, such as --set data.text=1 --set data.label=2",
        },
        Refused {
            name: "a.csv",
            content: "first,second,label\na,b,1\nc,d,0\n",
            error: "has 3 columns (0 \"first\", 1 \"second\", 2 \"label\")",
        },
        Refused {
            name: "spam.csv",
            content: "v1,v2,,\nham,see you,,\nspam,a prize,,\n",
            error: "spam.csv:1: has 4 columns (0 \"v1\", 1 \"v2\", 2 \"\", 3 \"\"), and nothing says which is the text and which the \
                    label; say so, such as --set data.text=0 --set data.label=1; the second text of a pair is data.text_pair",
        },
        Refused {
            name: "a.csv",
            content: "key,number,feeling\na,5,yes\nb,7,no\nc,8,no\n",
            error: "--set data.text=number --set data.label=feeling",
        },
        Refused {
            name: "a.tsv",
            content: "yes\tthe sun is out\nno\train again\nyes\tblue sky\nno\tgrey sky\n",
            error: "the label seems to come first; say --set data.text=1 --set data.label=0",
        },
    ]);
    let said = Source { text: "1".parse().unwrap(), label: "0".parse().unwrap(), ..Source::default() };
    let records = examples("a.csv", b"yes,good,x\nno,bad,y\n", &said).unwrap();
    assert_eq!((records.list[0].text.as_str(), records.list[1].label.as_str()), ("good", "no"));
}

#[test]
fn rows_of_another_length_are_refused() {
    refused(&[
        Refused {
            name: "a.csv",
            content: "text,label\ngood,yes\nwell, it is bad,no\n",
            error: "a.csv:3: has 3 cells, line 1 has 2: \"well |  it is bad | no\"; a text with the separator in it stands in \
                    quotation marks",
        },
        Refused {
            name: "a.csv",
            content: "good,yes\nwell, bad,no\n",
            error: "a.csv:2: has 3 cells, line 1 has 2",
        },
        Refused {
            name: "a.tsv",
            content: "good\tyes\nso\tbad\tno\n",
            error: "a.tsv:2: has 3 cells, line 1 has 2",
        },
        Refused {
            name: "a.tsv",
            content: "text\tlabel\tnote\ngood\tyes\tx\nbad\tno\n",
            error: "a.tsv:3: has 2 cells, line 1 has 3",
        },
        Refused {
            name: "a.tsv",
            content: "text\tlabel\ngood\tyes\nbad\n",
            error: "a.tsv:3: no column 1 for the label; the line has 1 column(s): \"bad\", line 1 has 2",
        },
        Refused {
            name: "a.tsv",
            content: "good\tyes\nbad\n",
            error: "a.tsv:2: has one column only, for both text and label; found \"bad\"; line 1 has 2 cells",
        },
    ]);
    expect("a.csv", "text,label\n\"well, good\",yes\nbad,no\n", &[("well, good", "yes"), ("bad", "no")]);
}

#[test]
fn numbers_that_are_no_class_are_refused() {
    refused(&[
        Refused {
            name: "a.tsv",
            content: "good\t1\nwho knows\t-1\nbad\t0\n",
            error: "a.tsv:2: the label is -1: a negative number is no class (such numbers mark examples without a label); \
                    data.skip_unlabelled = true leaves these examples out",
        },
        Refused {
            name: "a.jsonl",
            content: "{\"text\":\"good\",\"label\":1}\n{\"text\":\"?\",\"label\":-100}\n",
            error: "a.jsonl:2: the label is -100: a negative number is no class",
        },
        Refused {
            name: "a.csv",
            content: "text,label\ngood,1.0\nbad,0.0\n",
            error: "a.csv:2: the label is 1.0: a decimal number is no class; write whole numbers or words",
        },
        Refused {
            name: "a.csv",
            content: "text,label\ngood,1e-1\nbad,0\n",
            error: "the label is 1e-1: a decimal",
        },
        Refused {
            name: "a.csv",
            content: "text,label\ngood,nan\nbad,0\n",
            error: "the label is nan: it is missing",
        },
        Refused {
            name: "a.jsonl",
            content: "{\"text\":\"good\",\"label\":0.5}\n",
            error: "a.jsonl:1: \"label\": expected a word, a whole number or true/false, found 0.5",
        },
        Refused {
            name: "a.jsonl",
            content: "{\"text\":\"good\",\"label\":null}\n",
            error: "\"label\": expected a word, a whole number or true/false, found null",
        },
    ]);
    let skip = Source { skip_unlabelled: true, ..Source::default() };
    let records = examples("a.tsv", b"good\t1\n\t-1\nbad\t0\n", &skip).unwrap();
    assert_eq!((records.list.len(), records.unlabelled), (2, 1));
    let error = examples("a.tsv", b"good\t-1\nbad\t-1\n", &skip).unwrap_err();
    assert_eq!(error, "a.tsv: has no examples with a label");
    let error = Labels::from_records(&auto("a.tsv", "a\t01\nb\t1\nc\t2\n").unwrap()).unwrap_err();
    assert!(
        error.to_string().ends_with("the labels \"01\" and \"1\" are the same number; write one of them"),
        "{error}"
    );
}

#[test]
fn jsonl_has_usual_keys() {
    let expected = [("good", "yes"), ("bad", "no")];
    for (text, label) in [("text", "label"), ("sentence", "label"), ("review", "sentiment")] {
        let line =
            |one: &str, other: &str| format!("{{\"id\":1,\"{label}\":\"{other}\",\"{text}\":\"{one}\"}}\n");
        expect("a.jsonl", &(line("good", "yes") + &line("bad", "no")), &expected);
    }
    refused(&[
        Refused {
            name: "a.jsonl",
            content: "{\"said\":\"good\",\"felt\":\"yes\"}\n",
            error: "a.jsonl:1: nothing says which key is the text and which the label; say so with --set data.text=KEY --set \
                    data.label=KEY; the keys are \"felt\", \"said\"",
        },
        Refused {
            name: "a.jsonl",
            content: "[{\"text\":\"good\",\"label\":\"a\"},\n{\"text\":\"bad\",\"label\":\"b\"}]\n",
            error: "the file is a JSON array: `jq -c '.[]' a.jsonl > lines.jsonl` writes one object a line",
        },
        Refused {
            name: "a.jsonl",
            content: "{\"text\":\"good\",\"label\":\"a\"},\n{\"text\":\"bad\",\"label\":\"b\"}\n",
            error: "a.jsonl:1: expected one JSON object a line: trailing characters at line 1 column 28; remove the comma at \
                    the end of the line",
        },
        Refused {
            name: "a.jsonl",
            content: "{\n \"text\": \"good\",\n \"label\": \"a\"\n}\n",
            error: "if an object is spread over several lines: `jq -c . a.jsonl > lines.jsonl`",
        },
        Refused {
            name: "a.jsonl",
            content: "{\"text\":\"good\",\"label\":NaN}\n",
            error: "NaN and Infinity are no JSON",
        },
        Refused {
            name: "a.jsonl",
            content: "{\"text\":\"go \\ud83d\",\"label\":1}\n",
            error: "a.jsonl:1: expected one JSON",
        },
        Refused {
            name: "a.jsonl",
            content: "{\"text\":null,\"label\":1}\n",
            error: "a.jsonl:1: \"text\": expected a string, found null",
        },
        Refused { name: "a.json", content: "[]", error: "`jq -c '.[]' a.json > lines.jsonl`" },
    ]);
    let position = Source { text: "0".parse().unwrap(), ..Source::default() };
    let error = examples("a.jsonl", b"{\"text\":\"a\",\"label\":1}", &position).unwrap_err();
    assert!(
        error.ends_with("such as --set data.text=text; the keys of the first line are \"label\", \"text\""),
        "{error}"
    );
}

#[test]
fn separators_and_encodings_are_read_where_they_are_certain() {
    let expected = [("good", "yes"), ("bad", "no")];
    expect("a.csv", "text;label\ngood;yes\nbad;no\n", &expected);
    expect("a.csv", "text\tlabel\ngood\tyes\nbad\tno\n", &expected);
    expect("a.csv", "good;yes\n\"a, b; c\";no\n", &[("good", "yes"), ("a, b; c", "no")]);
    expect("a.tsv", "good\tyes\rbad\tno\r", &expected);
    let wide = |order: fn(u16) -> [u8; 2], mark: u16| -> Vec<u8> {
        std::iter::once(mark).chain("gööd\tyes\n🔥\tno\n".encode_utf16()).flat_map(order).collect()
    };
    for bytes in [wide(u16::to_le_bytes, 0xfeff), wide(u16::to_be_bytes, 0xfeff)] {
        let records = examples("a.tsv", &bytes, &Source::default()).unwrap();
        assert_eq!((records.list[0].text.as_str(), records.list[1].text.as_str()), ("gööd", "🔥"));
    }
    struct Case {
        name: &'static str,
        bytes: Vec<u8>,
        expected: &'static str,
    }
    let refused = [
        Case {
            name: "a.tsv",
            bytes: wide(u16::to_le_bytes, 0xfeff)[2..].to_vec(),
            expected: "`iconv -f UTF-16LE -t UTF-8 a.tsv > utf8-a.tsv` makes UTF-8",
        },
        Case {
            name: "a.csv",
            bytes: b"text,label\ncaf\xe9,a\nbad,b\n".to_vec(),
            expected: "if the file is Latin-1, `iconv -f ISO-8859-1 -t UTF-8 a.csv",
        },
        Case {
            name: "a.tsv",
            bytes: b"\xff\xfe\0\0a\0\0\0".to_vec(),
            expected: "is UTF-32; `iconv -f UTF-32",
        },
        Case {
            name: "a.csv",
            bytes: b"\x1f\x8b\x08\0".to_vec(),
            expected: "is compressed by gzip; `gunzip` unpacks it",
        },
        Case { name: "a.csv", bytes: b"PAR1\x15\x04".to_vec(), expected: "is Parquet; write it as JSONL" },
        Case {
            name: "a.tsv",
            bytes: b"good,yes\nbad,no\n".to_vec(),
            expected: "where commas separate the columns, say data.format = \"csv\"",
        },
    ];
    for Case { name, bytes, expected } in refused {
        let error = examples(name, &bytes, &Source::default()).unwrap_err();
        assert!(error.contains(expected), "expected: {expected}\nfound:    {error}");
    }
    let folder = Folder::empty();
    std::fs::create_dir(folder.path("a.tsv")).unwrap();
    let error =
        grades_finetune::data::read(&folder.path("a.tsv"), &Source::default()).unwrap_err().to_string();
    assert!(error.ends_with("a.tsv: is no regular file"), "{error}");
}

#[test]
fn one_line_says_what_was_understood() {
    let (_dir, path) = tokenizer_file();
    let limits = Limits { max_tokens: 6, max_positions: 8, vocab_size: 9 };
    let tokenizer = Tokenizer::load(&path, limits).unwrap();
    let line = |name: &str, content: &str, skip_unlabelled| {
        let source = Source { skip_unlabelled, ..Source::default() };
        let records = examples(name, content.as_bytes(), &source).unwrap();
        let labels = Labels::from_records(&records).unwrap();
        let dataset = Dataset::new(&records, &labels, &tokenizer).unwrap();
        describe(&records, &labels, &dataset)
    };
    assert_eq!(
        line("a.csv", "review,sentiment\na b,yes\n\"a b c d\ne\",no\na,yes\n", false),
        "a.csv: text is column 0 \"review\", label is column 1 \"sentiment\" (line 1 is a header); 3 examples: no 1, yes 2; 1 \
         are cut; first: \"a b\" → yes"
    );
    assert_eq!(
        line("a.tsv", "a\u{1b}[2J b\t1\nc\t0\nd\t-1\n", true),
        "a.tsv: text is column 0, label is column 1; 2 examples: 0 1, 1 1; 1 without a label are left out; none is cut; first: \
         \"a\\u{1b}[2J b\" → 1"
    );
}

#[test]
fn a_header_that_comes_again_is_refused() {
    refused(&[
        Refused {
            name: "a.tsv",
            content: "sentence\tlabel\na\tyes\nb\tno\nsentence\tlabel\nc\tyes\n",
            error: "a.tsv:4: repeats the header of line 1; remove the line",
        },
        Refused {
            name: "a.csv",
            content: "label,text\nyes,a\nno,b\n\u{feff}label, text\nno,c\n",
            error: "a.csv:4: repeats the header of line 1; remove the line",
        },
        Refused {
            name: "a.jsonl",
            content: "{\"text\": \"a\", \"label\": 1}\n\u{feff}{\"text\": \"b\", \"label\": 0}\n",
            error: "a.jsonl:2: expected one JSON object a line: expected value at line 1 column 1; the line begins with a \
                    byte order mark, as of a file that was joined to another: remove it",
        },
    ]);
}

#[test]
fn a_header_among_the_examples_of_another_file_is_named() {
    let train = auto("train.tsv", "a\tyes\nb\tno\n").unwrap();
    let labels = Labels::from_records(&train).unwrap();
    let (_dir, path) = tokenizer_file();
    let tokenizer =
        Tokenizer::load(&path, Limits { max_tokens: 6, max_positions: 8, vocab_size: 9 }).unwrap();
    let records = auto("dev.tsv", "words\tmeant\na\tyes\n").unwrap();
    let error = Dataset::new(&records, &labels, &tokenizer).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "dev.tsv:1: unknown label \"meant\"; the known labels are no, yes; if the line names the columns, say data.header = true"
        ),
        "{error}"
    );
}
