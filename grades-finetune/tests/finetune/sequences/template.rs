//! Where templates are found, and what is wrong with them.

use grades_finetune::data::sequence::{ChatTemplate, Message};
use serde_json::json;

use crate::tiny_decoder::TinyDecoder;

fn user(content: &str) -> Vec<Message> {
    vec![Message::new("user", content)]
}

#[test]
fn a_template_may_be_in_either_file_and_the_jinja_file_wins() {
    let tiny = TinyDecoder::new(json!({}));
    assert!(ChatTemplate::load(tiny.path()).unwrap().is_none());
    let write = |template| {
        std::fs::write(
            tiny.file("tokenizer_config.json"),
            json!({"chat_template": template, "eos_token": "E"}).to_string(),
        )
        .unwrap();
        ChatTemplate::load(tiny.path()).unwrap().unwrap().render(&user("hi"), true).unwrap()
    };
    assert_eq!(write(json!("{{ messages[0].content }}{{ eos_token }}")), "hiE");
    let named = json!([{"name": "tools", "template": "no"}, {"name": "default", "template": "yes {{ add_generation_prompt }}"}]);
    assert_eq!(write(named), "yes True");
    std::fs::write(tiny.file("chat_template.jinja"), "{{ messages | tojson }}").unwrap();
    assert_eq!(write(json!("no")), "[{\"role\": \"user\", \"content\": \"hi\"}]");
}

#[test]
fn named_templates_without_a_default_one_are_listed() {
    let tiny = TinyDecoder::new(json!({}));
    let load = |template| {
        std::fs::write(tiny.file("tokenizer_config.json"), json!({"chat_template": template}).to_string())
            .unwrap();
        ChatTemplate::load(tiny.path()).map(Option::unwrap)
    };
    let named = json!([{"name": "tool_use", "template": "no"}, {"name": "rag", "template": "no"}]);
    let error = load(named).unwrap().render(&user("hi"), true).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "tokenizer_config.json: the chat template fails: there are templates named \"rag\", \"tool_use\", but none \
             named \"default\"; give one of them this name"
        ),
        "{error}"
    );
    for other in
        [json!([{"nome": "default", "template": "no"}]), json!(["no"]), json!({"default": 1}), json!(5)]
    {
        let error = load(other).unwrap_err().to_string();
        let expected = "tokenizer_config.json: \"chat_template\": expected a template, or a list of {\"name\": …, \
                        \"template\": …}";
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn a_template_that_is_no_jinja_is_named() {
    let tiny = TinyDecoder::new(json!({}));
    std::fs::write(tiny.file("chat_template.jinja"), "{% for %}").unwrap();
    let error = ChatTemplate::load(tiny.path()).unwrap_err().to_string();
    assert!(error.contains("chat_template.jinja: the chat template is not valid: "), "{error}");
    std::fs::remove_file(tiny.file("chat_template.jinja")).unwrap();
    std::fs::write(tiny.file("tokenizer_config.json"), "{").unwrap();
    let error = ChatTemplate::load(tiny.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json: is not valid JSON"), "{error}");
}

#[test]
fn a_template_that_would_run_for_ever_ends_with_an_error() {
    let tiny = TinyDecoder::new(json!({}));
    let hostile = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
    std::fs::write(tiny.file("chat_template.jinja"), hostile).unwrap();
    let template = ChatTemplate::load(tiny.path()).unwrap().unwrap();
    let error = template.render(&user("hi"), true).unwrap_err().to_string();
    assert!(error.contains("the chat template fails"), "{error}");
}
