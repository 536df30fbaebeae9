//! Files, and what is wrong with them.

use serde_json::json;

use crate::sequences::encoding::{OPTIONS, encode};

#[test]
fn what_is_wrong_with_a_line_is_told_with_its_number() {
    let good = json!({"prompt": "sky", "response": "blue"});
    let cases = [
        (json!({"prompt": "sky", "response": " "}), "\"response\" is empty"),
        (json!({"prompt": "", "response": "blue"}), "\"prompt\" is empty"),
        (json!({"prompt": "sky"}), "no key \"response\"; the keys are \"prompt\""),
        (json!({"prompt": "sky", "response": 4}), "\"response\": expected a string, found 4"),
        (json!({"text": "sky"}), "no key \"prompt\"; the keys are \"text\""),
        (
            json!([1]),
            "expected one JSON object a line: invalid type: sequence, expected a map at line 1 column 0",
        ),
    ];
    for (line, message) in cases {
        let error = encode(OPTIONS, "a.jsonl", &format!("{good}\n\n{line}\n")).unwrap_err();
        assert_eq!(error, format!("a.jsonl:3: {message}"));
    }
    let cases = [
        (
            json!({"question": "sky"}),
            "expected \"text\", \"prompt\" with \"response\", \"messages\", or \"prompt\" with \"choices\" and \"answer\"; \
             the keys are \"question\"; other keys are named by --set data.prompt=KEY --set data.response=KEY, data.text or \
             data.messages",
        ),
        (json!({"messages": []}), "\"messages\" has no message of the role \"assistant\" to learn from"),
        (
            json!({"messages": [{"role": "assistant", "content": "\n"}]}),
            "\"messages\": a message of the assistant is empty",
        ),
        (
            json!({"prompt": "sky", "choices": ["blue"], "answer": 0}),
            "\"answer\" is 0 of 1 \"choices\"; expected at least two choices and the position of one",
        ),
        (
            json!({"prompt": "sky", "choices": ["blue", "green"], "answer": 2}),
            "\"answer\" is 2 of 2 \"choices\"; expected at least two choices and the position of one",
        ),
        (json!({"prompt": "sky", "choices": ["blue", ""], "answer": 0}), "\"choices\": a choice is empty"),
    ];
    for (line, message) in cases {
        assert_eq!(
            encode(OPTIONS, "a.jsonl", &line.to_string()).unwrap_err(),
            format!("a.jsonl:1: {message}")
        );
    }
}

#[test]
fn files_that_are_none_are_refused() {
    let error = |file: &str, text: &str| encode(OPTIONS, file, text).unwrap_err();
    assert_eq!(error("a.jsonl", "\n \n"), "a.jsonl: has no examples");
    assert_eq!(error("a.txt", " \n"), "a.txt: has no text");
    assert!(error("a.csv", "sky").starts_with("a.csv: a decoder is trained on .txt (one text) or .jsonl "));
}
