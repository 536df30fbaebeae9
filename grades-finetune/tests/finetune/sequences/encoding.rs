//! Examples to token ids, and what is predicted in them.

use grades_finetune::data::sequence::{
    ChatTemplate, EncodeOptions, Encoder, KeyNames, Sequences, TooLong, Turns, Vocabulary, read_examples,
};
use serde_json::json;

use crate::tiny_decoder::{TinyDecoder, ids};

pub(crate) const OPTIONS: EncodeOptions =
    EncodeOptions { max_tokens: 20, too_long: TooLong::Truncate, turns: Turns::All, chat: false };

pub(crate) fn encoder(tiny: &TinyDecoder, options: EncodeOptions) -> Encoder {
    Encoder {
        vocabulary: Vocabulary::load(&tiny.file("tokenizer.json"), 40).unwrap(),
        template: ChatTemplate::load(tiny.path()).unwrap(),
        end: Some(2),
        options,
    }
}

/// Encodes the lines of a file, or gives the message of the error without the file's folder.
pub(crate) fn encode(options: EncodeOptions, file: &str, text: &str) -> Result<Sequences, String> {
    let tiny = TinyDecoder::new(json!({}));
    tiny.complete();
    let path = tiny.file(file);
    std::fs::write(&path, text).unwrap();
    let told = |error: grades_finetune::data::Error| {
        error.to_string().replace(&format!("{}/", tiny.path().display()), "")
    };
    let examples = read_examples(&path, &KeyNames::default()).map_err(told)?;
    encoder(&tiny, options).encode(&examples).map_err(told)
}

#[test]
fn a_response_and_its_end_are_predicted_and_the_prompt_is_not() {
    let line = json!({"prompt": "what is the colour of snow ? ", "response": "white"}).to_string();
    let sequences = encode(OPTIONS, "a.jsonl", &line).unwrap();
    assert_eq!(sequences.list[0].ids, ids("<s> what is the colour of snow ? white </s>"));
    assert_eq!(sequences.list[0].targets, [8..10]);
    assert!(sequences.answers);
    let chat = EncodeOptions { chat: true, ..OPTIONS };
    let sequences = encode(chat, "a.jsonl", &line).unwrap();
    assert_eq!(sequences.list[0].ids, ids("<s> <user> what is the colour of snow ? <assistant> white </s>"));
    assert_eq!(sequences.list[0].targets, [10..12]);
}

#[test]
fn every_turn_of_the_assistant_is_predicted_or_the_last_one() {
    let message = |role, content| json!({"role": role, "content": content});
    let messages = [
        message("system", "say a colour"),
        message("user", "sky"),
        message("assistant", " blue "),
        message("user", "grass ?"),
        message("assistant", "green and a"),
        message("user", "ask"),
    ];
    let line = json!({"messages": messages}).to_string();
    let sequences = encode(OPTIONS, "a.jsonl", &line).unwrap();
    let all = "<s> say a colour <user> sky <assistant> blue </s> <user> grass ? <assistant> green and a </s>";
    assert_eq!(sequences.list[0].ids, ids(all));
    assert_eq!(sequences.list[0].targets, [7..9, 13..17]);
    assert_eq!(sequences.list[0].answer_start(), 13);
    let last = encode(EncodeOptions { turns: Turns::Last, ..OPTIONS }, "a.jsonl", &line).unwrap();
    assert_eq!(last.list[0].ids, ids(all));
    assert_eq!(last.list[0].targets, [13..17]);
}

#[test]
fn every_token_of_a_text_is_predicted_once_however_it_is_cut() {
    for (text, count) in [("sky", 2), ("sky grass snow coal sun blue green white black", 10)] {
        for max_tokens in 2..14 {
            let sequences = encode(EncodeOptions { max_tokens, ..OPTIONS }, "a.txt", text).unwrap();
            let predicted: Vec<u32> =
                sequences.list.iter().flat_map(|sequence| sequence.ids[1..].to_vec()).collect();
            assert_eq!(predicted, ids(&format!("{text} </s>")), "{max_tokens}");
            assert_eq!(predicted.len(), count);
            assert!(sequences.list.iter().all(|sequence| sequence.ids.len() <= max_tokens));
            let targets = |at: usize| sequences.list[at].targets.clone();
            assert!((0..sequences.len()).all(|at| targets(at) == [1..sequences.list[at].ids.len()]));
            assert_eq!(sequences.truncated, 0);
        }
    }
}

#[test]
fn questions_keep_all_their_choices() {
    let line = json!({"prompt": "what is the sky ? ", "choices": ["green", "blue and white"], "answer": 1});
    let sequences = encode(OPTIONS, "a.jsonl", &line.to_string()).unwrap();
    let question = &sequences.questions[0];
    assert_eq!(question.answer, 1);
    assert_eq!(question.choices[0].sequence.ids, ids("<s> what is the sky ? green </s>"));
    assert_eq!((question.choices[0].bytes, question.choices[1].bytes), (5, 14));
    assert_eq!(sequences.list, [question.choices[1].sequence.clone()], "the right one is what is learnt");
}

#[test]
fn an_example_that_is_too_long_is_cut_refused_or_left_out_as_configured() {
    let long = json!({"prompt": "what is ", "response": "the colour of the grass"});
    let short = json!({"prompt": "snow ", "response": "white"});
    let lines = format!("{long}\n\n{short}\n{long}\n");
    let with = |too_long| encode(EncodeOptions { max_tokens: 6, too_long, ..OPTIONS }, "a.jsonl", &lines);
    let cut = with(TooLong::Truncate).unwrap();
    assert_eq!((cut.len(), cut.truncated, cut.skipped), (3, 2, 0));
    assert_eq!(
        (cut.list[0].ids.clone(), cut.list[0].targets.clone()),
        (ids("<s> what is the colour of"), vec![3..6])
    );
    let left = with(TooLong::Skip).unwrap();
    assert_eq!((left.len(), left.truncated, left.skipped), (1, 0, 2));
    assert_eq!(
        with(TooLong::Refuse).unwrap_err(),
        "a.jsonl:1: 9 tokens, more than max_tokens = 6; data.too_long = \"truncate\" cuts, \"skip\" leaves out"
    );
    let with =
        |too_long| encode(EncodeOptions { max_tokens: 3, too_long, ..OPTIONS }, "a.jsonl", &long.to_string());
    assert_eq!(
        with(TooLong::Truncate).unwrap_err(),
        "a.jsonl:1: the prompt leaves no room for a response within max_tokens = 3; data.too_long = \"skip\" leaves such \
         examples out"
    );
    assert_eq!(
        with(TooLong::Skip).unwrap_err(),
        "a.jsonl: no example is left: 1 are longer than max_tokens = 3"
    );
    let question = json!({"prompt": "what is ", "choices": ["blue", "the colour"], "answer": 0}).to_string();
    assert_eq!(
        encode(EncodeOptions { max_tokens: 5, ..OPTIONS }, "a.jsonl", &question).unwrap_err(),
        "a.jsonl:1: the prompt and a choice have 6 tokens, more than max_tokens = 5; a choice is not cut"
    );
}

#[test]
fn a_template_that_fails_names_the_line_and_its_own_reason() {
    let user = json!({"role": "user", "content": "sky"});
    let assistant = json!({"role": "assistant", "content": "blue"});
    let good = json!({"messages": [user, assistant]});
    let bad = json!({"messages": [user, user, assistant]});
    let error = encode(OPTIONS, "a.jsonl", &format!("{good}\n{bad}\n")).unwrap_err();
    assert!(error.starts_with("a.jsonl:2: "), "{error}");
    assert!(error.contains("chat_template.jinja: the chat template fails in line "), "{error}");
    assert!(error.ends_with("Conversation roles must alternate user/assistant"), "{error}");
}

#[test]
fn a_model_without_what_is_needed_says_what() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.write_tokenizer();
    let path = tiny.file("a.jsonl");
    std::fs::write(&path, json!({"prompt": "sky ", "response": "blue"}).to_string()).unwrap();
    let examples = read_examples(&path, &KeyNames::default()).unwrap();
    let error =
        encoder(&tiny, EncodeOptions { chat: true, ..OPTIONS }).encode(&examples).unwrap_err().to_string();
    assert!(error.contains("a.jsonl:1: the model has no chat template (chat_template.jinja, or"), "{error}");
    let endless = Encoder { end: None, ..encoder(&tiny, OPTIONS) };
    let error = endless.encode(&examples).unwrap_err().to_string();
    assert!(error.contains("a.jsonl:1: the model has no eos_token_id"), "{error}");
    let small = Vocabulary::load(&tiny.file("tokenizer.json"), 11).unwrap();
    let error =
        Encoder { vocabulary: small, ..encoder(&tiny, OPTIONS) }.encode(&examples).unwrap_err().to_string();
    assert!(
        error.ends_with("token \"sky\" has id 11, the model's vocabulary has 11 tokens; the tokenizer belongs to another model"),
        "{error}"
    );
    std::fs::write(tiny.file("tokenizer.json"), "{}").unwrap();
    let error = Vocabulary::load(&tiny.file("tokenizer.json"), 40).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: is no tokenizer"), "{error}");
}
