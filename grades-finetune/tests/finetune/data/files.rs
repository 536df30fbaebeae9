//! Reading files of every format, and the errors for those that cannot be read.

use grades_finetune::data::{Column, Format, Header, Labels, Source, read};
use serde::Deserialize;

use crate::data::examples::{examples, labels, records, source};

/// Reads a file and gives (line, text, label) of its examples.
fn rows(name: &str, content: &str, source: &Source) -> Vec<(u64, String, String)> {
    let records = examples(name, content.as_bytes(), source).unwrap();
    records.list.into_iter().map(|record| (record.line, record.text, record.label)).collect()
}

fn expect(found: Vec<(u64, String, String)>, expected: &[(u64, &str, &str)]) {
    let found: Vec<(u64, &str, &str)> =
        found.iter().map(|(line, text, label)| (*line, text.as_str(), label.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn tsv_by_name_and_by_position() {
    let content = "sentence\tlabel\nit's \"good\", really \t1\r\n\nbad\t 0 \n";
    let expected = [(2, "it's \"good\", really ", "1"), (4, "bad", "0")];
    for (text, label) in [("sentence", "label"), ("0", "1"), ("0", "-1"), ("-2", "label")] {
        expect(rows("a.tsv", content, &source(text, label)), &expected);
    }
    // SST-2 in the form of its test set: no header, the label first.
    expect(rows("a.tsv", "1\tgood\n0\tbad", &source("1", "0")), &[(1, "good", "1"), (2, "bad", "0")]);
    let file = "\u{feff}label\ttext\n1\tgood\n".as_bytes();
    let records = examples("a.TSV", file, &source("text", "label")).unwrap();
    assert!(records.header && records.list.len() == 1);
}

#[test]
fn csv_with_quotes() {
    let content = "label,text\nyes,\"one, \"\"two\"\"\nthree\"\n\nno,plain 5\" pipe\n";
    let expected = [(2, "one, \"two\"\nthree", "yes"), (5, "plain 5\" pipe", "no")];
    expect(rows("a.csv", content, &source("text", "label")), &expected);
    expect(
        rows("a.csv", &content.replace('\n', "\r\n"), &source("text", "label")),
        &[(2, "one, \"two\"\r\nthree", "yes"), (5, "plain 5\" pipe", "no")],
    );
}

#[test]
fn jsonl_with_every_kind_of_label() {
    let content = "{\"t\": \"a\", \"l\": \"yes\"}\n\n{\"l\": 1, \"t\": \"b\\n\", \"x\": null}\r\n{\"t\":\"c\",\"l\":true}";
    let expected = [(1, "a", "yes"), (3, "b\n", "1"), (4, "c", "true")];
    expect(rows("a.jsonl", content, &source("t", "l")), &expected);
    let other = Source { format: Some(Format::Jsonl), ..source("t", "l") };
    expect(rows("a.txt", content, &other), &expected);
}

#[test]
fn the_header_is_found_or_given() {
    let header = |content: &str, header, text: &str, label: &str| {
        let source = Source { header, ..source(text, label) };
        let records = examples("a.tsv", content.as_bytes(), &source)?;
        Ok::<_, String>((records.header, records.list.len()))
    };
    let content = "text\tLabel\na\t1\n";
    assert_eq!(header(content, Header::Auto, "0", "1"), Ok((true, 1)));
    assert_eq!(header(content, Header::No, "0", "1"), Ok((false, 2)));
    assert_eq!(header("a\t1\nb\t0\n", Header::Auto, "0", "1"), Ok((false, 2)));
    assert_eq!(header("a\t1\nb\t0\n", Header::Yes, "0", "1"), Ok((true, 1)));
    let error = header(content, Header::No, "text", "1").unwrap_err();
    assert_eq!(error, "a.tsv: column \"text\" is given by name, but header = false; give its position");
}

#[test]
fn errors_name_file_and_line() {
    struct Case {
        name: &'static str,
        content: &'static [u8],
        /// The column.
        text: &'static str,
        /// The column.
        label: &'static str,
        /// How the error begins.
        expected: &'static str,
    }
    let cases = [
        Case { name: "a.tsv", content: b"", text: "0", label: "1", expected: "a.tsv: has no examples" },
        Case { name: "a.tsv", content: b"\n\n", text: "0", label: "1", expected: "a.tsv: has no examples" },
        Case { name: "a.csv", content: b"", text: "t", label: "l", expected: "a.csv: has no examples" },
        Case { name: "a.jsonl", content: b"\n", text: "t", label: "l", expected: "a.jsonl: has no examples" },
        Case {
            name: "a.tsv",
            content: b"t\tl\n",
            text: "t",
            label: "l",
            expected: "a.tsv: has a header but no examples",
        },
        Case {
            name: "a.txt",
            content: b"a\t1",
            text: "0",
            label: "1",
            expected: "a.txt: the extension names no format; expected .tsv, .csv or .jsonl",
        },
        Case {
            name: "a.tsv",
            content: b"t\tl\na\t1\n",
            text: "x",
            label: "l",
            expected: "a.tsv:1: no column \"x\" for the text; the columns are \"t\", \"l\"",
        },
        Case {
            name: "a.tsv",
            content: b"t\tl\na\t1\n",
            text: "t",
            label: "y",
            expected: "a.tsv:1: no column \"y\" for the label; the columns are \"t\", \"l\"",
        },
        Case {
            name: "a.tsv",
            content: b"t\tt\na\t1\n",
            text: "t",
            label: "1",
            expected: "a.tsv:1: two columns are named \"t\"; give the position of the text",
        },
        Case {
            name: "a.tsv",
            content: b"t\tl\na\t1\nb 0\n",
            text: "t",
            label: "l",
            expected: "a.tsv:3: no column 1 for the label; the line has 1 column(s): \"b 0\"",
        },
        Case {
            name: "a.tsv",
            content: b"a\t1\n",
            text: "2",
            label: "1",
            expected: "a.tsv:1: no column 2 for the text; the line has 2 column(s): \"a | 1\"",
        },
        Case {
            name: "a.tsv",
            content: b"a\t1\n",
            text: "-3",
            label: "1",
            expected: "a.tsv:1: no column -3 for the text",
        },
        Case {
            name: "a.tsv",
            content: b"a\t1\nb",
            text: "0",
            label: "-1",
            expected: "a.tsv:2: has one column only, for both text and label",
        },
        Case {
            name: "a.tsv",
            content: b"a\t1\n",
            text: "0",
            label: "0",
            expected: "a.tsv: text = 0 and label = 0 are the same column",
        },
        Case {
            name: "a.tsv",
            content: b"t\tl\na\t1\n",
            text: "t",
            label: "0",
            expected: "a.tsv: text = \"t\" and label = 0 are the same column",
        },
        Case {
            name: "a.tsv",
            content: b"a\t1\n \t0\n",
            text: "0",
            label: "1",
            expected: "a.tsv:2: the text is empty",
        },
        Case {
            name: "a.csv",
            content: b"a,1\nb,\"\"\n",
            text: "0",
            label: "1",
            expected: "a.csv:2: the label is empty",
        },
        Case {
            name: "a.tsv",
            content: b"a\t1\nb\xff\t0\n",
            text: "0",
            label: "1",
            expected: "a.tsv:2: not valid UTF-8, from byte 2",
        },
        Case {
            name: "a.csv",
            content: b"a,1\n\nb\xff,0\n",
            text: "0",
            label: "1",
            expected: "a.csv:3: not valid UTF-8",
        },
        Case {
            name: "a.csv",
            content: b"1,a\n\n0,\"b\n1,c\n1,d\n",
            text: "1",
            label: "0",
            expected: "a.csv:3: a quotation mark opened in this row is never closed",
        },
        Case {
            name: "a.jsonl",
            content: b"{\"t\":\"a\",\"l\":1}\n[1]\n",
            text: "t",
            label: "l",
            expected: "a.jsonl:2: expected one JSON object a line",
        },
        Case {
            name: "a.jsonl",
            content: b"{\"t\":\"a\"}\n",
            text: "t",
            label: "l",
            expected: "a.jsonl:1: no key \"l\" for the label; the keys are \"t\"",
        },
        Case {
            name: "a.jsonl",
            content: b"{\"t\":\"a\",\"l\":1.5}\n",
            text: "t",
            label: "l",
            expected: "a.jsonl:1: \"l\": expected a word, a whole number or true/false, found 1.5",
        },
        Case {
            name: "a.jsonl",
            content: b"{\"t\":7,\"l\":1}\n",
            text: "t",
            label: "l",
            expected: "a.jsonl:1: \"t\": expected a string",
        },
        Case {
            name: "a.jsonl",
            content: b"{\"t\":\"a\",\"l\":1}\n",
            text: "0",
            label: "l",
            expected: "a.jsonl: text = 0: JSONL has keys, not positions",
        },
        Case {
            name: "a.jsonl",
            content: b"{\"t\":\"\xff\"}\n",
            text: "t",
            label: "l",
            expected: "a.jsonl:1: not valid UTF-8",
        },
    ];
    for Case { name, content, text, label, expected } in cases {
        let error = examples(name, content, &source(text, label)).unwrap_err();
        assert!(error.starts_with(expected), "expected: {expected}\nfound:    {error}");
    }
    let error = read("gone.tsv".as_ref(), &source("0", "1")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read gone.tsv: "), "{error}");
}

#[test]
fn labels_are_numbered_the_same_every_time() {
    let names = |list: &[&str]| {
        let list: Vec<(&str, &str)> = list.iter().map(|label| ("text", *label)).collect();
        Labels::from_records(&records(&list)).map(|labels| labels.names().to_vec())
    };
    assert_eq!(names(&["no", "yes", "no", "maybe"]).unwrap(), ["maybe", "no", "yes"]);
    assert_eq!(names(&["10", "9", "-1", "9"]).unwrap(), ["-1", "9", "10"]);
    assert_eq!(names(&["10", "9", "x"]).unwrap(), ["10", "9", "x"]);
    let error = names(&["1", "1"]).unwrap_err().to_string();
    assert_eq!(error, "train.tsv: every example has the label \"1\"; a classifier needs at least two");

    let named = labels(&["no", "yes"]);
    assert_eq!((named.id("yes"), named.id("1"), named.len()), (Some(1), None, 2));
    let unnamed = labels(&["LABEL_0", "LABEL_1"]);
    assert_eq!((unnamed.id("LABEL_1"), unnamed.id("1"), unnamed.id("2")), (Some(1), Some(1), None));
    assert!(Labels::from_names(vec!["a".into(), "a".into()]).is_err());
    assert!(Labels::from_names(Vec::new()).is_err());
}

#[test]
fn a_source_reads_from_toml() {
    #[derive(Deserialize)]
    struct Part {
        text: Column,
        label: Column,
        header: Header,
        format: Format,
    }
    let part: Part = toml::from_str("text = \"0\"\nlabel = -1\nheader = false\nformat = \"csv\"").unwrap();
    assert_eq!((part.text, part.label), (Column::Name("0".into()), Column::Position(-1)));
    assert_eq!((part.header, part.format), (Header::No, Format::Csv));
    let header = |text: &str| {
        toml::from_str::<std::collections::BTreeMap<String, Header>>(text).map(|map| map["header"])
    };
    assert_eq!(header("header = \"auto\"").unwrap(), Header::Auto);
    let error = header("header = \"maybe\"").unwrap_err().to_string();
    assert!(error.contains("\"maybe\" is none of true, false, \"auto\""), "{error}");
    assert!(header("header = 1").unwrap_err().to_string().contains("expected true, false or \"auto\""));
}
