//! Keys and fields of published data sets, and the seams between their texts.

use grades_finetune::data::sequence::{
    ChatTemplate, EncodeOptions, Encoder, KeyNames, Sequences, Turns, describe, read_examples,
};
use serde_json::{Value, json};

use crate::sequences::encoding::{OPTIONS, encode, encoder};
use crate::tiny_decoder::{TinyDecoder, ids};

fn line(value: Value) -> Result<Sequences, String> {
    encode(OPTIONS, "a.jsonl", &value.to_string())
}

/// The only sequence of a line.
fn one(value: Value) -> (Vec<u32>, Vec<std::ops::Range<usize>>) {
    let sequences = line(value).unwrap();
    assert_eq!(sequences.len(), 1);
    (sequences.list[0].ids.clone(), sequences.list[0].targets.clone())
}

#[test]
fn published_keys_are_known() {
    let chat = ids("<s> <user> sky <assistant> blue </s>");
    for turns in [
        json!({"conversations": [{"from": "human", "value": "sky"}, {"from": "gpt", "value": "blue"}]}),
        json!({"conversations": [{"role": "user", "content": "sky"}, {"role": "assistant", "content": "blue"}]}),
        json!({"prompt": [{"role": "user", "content": "sky"}], "completion": [{"role": "assistant", "content": "blue"}]}),
        json!({"prompt": [{"role": "user", "content": "sky"}], "response": [{"role": "assistant", "content": "blue"}]}),
    ] {
        assert_eq!(one(turns.clone()), (chat.clone(), vec![4..6]), "{turns}");
    }
    let plain = ids("<s> say sky blue </s>");
    for exchange in [
        json!({"prompt": "say sky", "completion": " blue"}),
        json!({"instruction": "say sky ", "input": "", "output": "blue"}),
        json!({"instruction": "say", "input": "sky ", "output": "blue"}),
        json!({"instruction": "say sky ", "output": "blue"}),
    ] {
        assert_eq!(one(exchange.clone()), (plain.clone(), vec![3..5]), "{exchange}");
    }
    // Answers in a prompt are given, not learnt.
    let user = |content: &str| json!({"role": "user", "content": content});
    let assistant = |content: &str| json!({"role": "assistant", "content": content});
    let given =
        json!({"prompt": [user("sky"), assistant("blue"), user("snow")], "completion": [assistant("white")]});
    let (found, targets) = one(given);
    assert_eq!(found, ids("<s> <user> sky <assistant> blue </s> <user> snow <assistant> white </s>"));
    assert_eq!(targets, [9..11]);
}

#[test]
fn what_is_missing_is_named_with_the_cure() {
    let error = |value: Value| line(value).unwrap_err();
    let roles = json!({"messages": [{"role": "user", "content": "a"}, {"role": "model", "content": "b"}]});
    assert_eq!(
        error(roles),
        "a.jsonl:1: \"messages\" has no message of the role \"assistant\" to learn from; the roles are model, user"
    );
    let tools = json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": "x"});
    assert!(error(tools).contains("\"tools\": expected a list, or a text with a list in JSON"));
    let list = json!({"messages": "a"});
    assert_eq!(
        error(list),
        "a.jsonl:1: \"messages\": expected a list of objects with a \"role\" and a \"content\""
    );
    let array = encode(OPTIONS, "a.jsonl", "[{\"prompt\":\"a\",\"response\":\"b\"}]").unwrap_err();
    assert!(array.contains("the file is a JSON array: `jq -c '.[]' a.jsonl > lines.jsonl`"), "{array}");
    let json = encode(OPTIONS, "a.json", "[]").unwrap_err();
    assert!(json.contains("`jq -c '.[]' a.json > lines.jsonl` makes one object a line"), "{json}");
}

#[test]
fn an_end_that_is_there_is_not_added_again() {
    assert_eq!(
        one(json!({"prompt": "sky ", "response": "blue </s>"})),
        (ids("<s> sky blue </s>"), vec![2..4])
    );
    assert_eq!(line(json!({"text": "sky </s>"})).unwrap().list[0].ids, ids("<s> sky </s>"));
}

/// A tiny decoder with another chat template.
fn with_template(template: &str) -> (TinyDecoder, Encoder) {
    let tiny = TinyDecoder::new(json!({}));
    tiny.write_tokenizer();
    std::fs::write(tiny.file("chat_template.jinja"), template).unwrap();
    let encoder = encoder(&tiny, OPTIONS);
    (tiny, encoder)
}

fn encoded(template: &str, turns: Turns, value: &Value) -> Result<Sequences, String> {
    let (tiny, encoder) = with_template(template);
    let path = tiny.file("a.jsonl");
    std::fs::write(&path, value.to_string()).unwrap();
    let examples = read_examples(&path, &KeyNames::default()).map_err(|error| error.to_string())?;
    let encoder = Encoder { options: EncodeOptions { turns, ..OPTIONS }, ..encoder };
    encoder.encode(&examples).map_err(|error| error.to_string())
}

#[test]
fn every_field_reaches_the_template_and_a_missing_one_is_undefined() {
    let template = "{% for m in messages %}{{ m.role == 'user' and '<user> ' or '<assistant> ' }}{{ m.name }}{{ m.missing }} \
        {% if m.content is defined %}{{ m.content }}{% endif %}{% if m.reasoning_content %} {{ m.reasoning_content }}{% endif %}\
        {% for c in m.tool_calls or [] %} {{ c.function.name }}{% endfor %} {{ eos_token }} {% endfor %}\
        {{ tools | length if tools else 'a' }} {{ colour }}";
    let messages = json!([
        {"role": "user", "name": "sun", "content": "sky"},
        {"role": "assistant", "content": null, "reasoning": "of", "tool_calls": [{"function": {"name": "ask"}}]}
    ]);
    let found = encoded(template, Turns::All, &json!({"messages": messages, "colour": "green"})).unwrap();
    assert_eq!(found.list[0].ids, ids("<user> sun sky </s> <assistant> of ask </s> a green"));
    let message = json!({"messages": [{"role": "assistant", "content": "", "tool_calls": []}]});
    assert!(
        encoded(template, Turns::All, &message).unwrap_err().contains("a message of the assistant is empty")
    );
}

#[test]
fn tags_give_the_targets() {
    let template = "<s> {% for m in messages %}{% if m.role == 'assistant' %}<assistant> {% generation %}{{ m.content }}\
        {% endgeneration %} {{ eos_token }} {% else %}<user> {{ m.content }} {% endif %}{% endfor %}";
    let messages = json!([
        {"role": "user", "content": "sky"}, {"role": "assistant", "content": "blue and white"},
        {"role": "user", "content": "sun"}, {"role": "assistant", "content": "yellow"}
    ]);
    let line = json!({"messages": messages});
    let all = encoded(template, Turns::All, &line).unwrap();
    assert_eq!(
        all.list[0].ids,
        ids("<s> <user> sky <assistant> blue and white </s> <user> sun <assistant> yellow </s>")
    );
    assert_eq!(all.list[0].targets, [4..7, 11..12]);
    assert_eq!(encoded(template, Turns::Last, &line).unwrap().list[0].targets, [11..12]);
}

#[test]
fn a_prompt_that_is_no_beginning_of_the_turn_counts_as_far_as_it_goes() {
    let template = "<s> {% for m in messages %}{% if m.role == 'assistant' %}<assistant> {{ m.content }} {{ eos_token }} \
        {% else %}<user> {{ m.content }} {% endif %}{% endfor %}{% if add_generation_prompt %}<assistant> what {% endif %}";
    let line =
        json!({"messages": [{"role": "user", "content": "sky"}, {"role": "assistant", "content": "blue"}]});
    assert_eq!(encoded(template, Turns::All, &line).unwrap().list[0].targets, [4..6]);
}

/// The template writes how many messages there are, so no part of a conversation begins as the whole does.
#[test]
fn a_template_that_counts_the_messages_is_read_by_what_changes_with_a_message() {
    let template = "{{ 'a' if messages | length > 3 else 'the' }} {% for m in messages %}\
        {% if m.role == 'assistant' %}<assistant> {{ m.content }} {{ eos_token }} {% else %}<user> {{ m.content }} {% endif %}\
        {% endfor %}what is";
    let messages = json!([
        {"role": "user", "content": "sky"}, {"role": "assistant", "content": "blue and white"},
        {"role": "user", "content": "sun"}, {"role": "assistant", "content": "yellow"}
    ]);
    let line = json!({"messages": messages});
    let found = encoded(template, Turns::All, &line).unwrap();
    assert_eq!(
        found.list[0].ids,
        ids("a <user> sky <assistant> blue and white </s> <user> sun <assistant> yellow </s> what is")
    );
    assert_eq!(found.list[0].targets, [4..8, 11..13], "the answers and their ends, not what ends the whole");
    assert_eq!(encoded(template, Turns::Last, &line).unwrap().list[0].targets, [11..13]);
}

#[test]
fn a_template_that_does_not_show_what_the_assistant_says_is_refused_with_the_cure() {
    let line = json!({"messages": [
        {"role": "user", "content": "sky"}, {"role": "assistant", "content": "blue"},
        {"role": "user", "content": "sun"}, {"role": "assistant", "content": "yellow"}
    ]});
    for template in [
        // The order is turned round, and each answer's length decides what stands before all.
        "{{ messages | map(attribute='content') | join('') | length }} {% for m in messages | reverse %}{{ m.content }} {% endfor %}",
        // Answers are not shown at all.
        "{{ messages | length }} {% for m in messages %}{% if m.role == 'user' %}{{ m.content }} {% endif %}{% endfor %}",
    ] {
        let error = encoded(template, Turns::All, &line).unwrap_err();
        assert!(
            error.contains("the chat template does not show what the assistant says: "),
            "{template}: {error}"
        );
        assert!(
            error.ends_with("put {% generation %} and {% endgeneration %} around that in the template"),
            "{error}"
        );
    }
}

#[test]
fn dates_are_fixed_or_refused() {
    let (tiny, _) = with_template("{{ strftime_now('%Y') }} {{ messages[0].content }}");
    let template = || ChatTemplate::load(tiny.path()).unwrap().unwrap();
    let messages = [grades_finetune::data::sequence::Message::new("user", "sky")];
    let error = template().render(&messages, false).unwrap_err().to_string();
    assert!(
        error.contains("the chat template writes today's date; set data.date, such as data.date = "),
        "{error}"
    );
    let dated = template().with_date(Some("2026-03-05".parse().unwrap()));
    assert_eq!(dated.render(&messages, false).unwrap(), "2026 sky");
}

#[test]
fn one_line_says_what_was_understood() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.complete();
    let path = tiny.file("a.jsonl");
    std::fs::write(&path, json!({"instruction": "say", "input": "sky ", "output": "blue"}).to_string())
        .unwrap();
    let examples = read_examples(&path, &KeyNames::default()).unwrap();
    let encoder = encoder(&tiny, OPTIONS);
    let sequences = encoder.encode(&examples).unwrap();
    assert_eq!(
        describe(&examples, &sequences, &encoder).unwrap(),
        "a.jsonl: 1 prompts (\"instruction\", an empty line and \"input\") with responses (\"output\"); 1 sequences of 5 tokens, \
         2 of them predicted; none is cut; first: \"say sky\" → \"blue\""
    );
}
