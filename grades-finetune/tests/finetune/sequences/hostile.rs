//! Templates and tokenizers that are made to do harm.

use std::time::{Duration, Instant};

use grades_finetune::data::sequence::{ChatTemplate, Message, Vocabulary};
use serde_json::json;

use crate::tiny_decoder::TinyDecoder;

/// A template, and a part of the error; `None` where it may as well be rendered.
struct Hostile {
    name: &'static str,
    template: String,
    error: Option<&'static str>,
}

fn hostile(
    name: &'static str,
    template: impl Into<String>,
    error: impl Into<Option<&'static str>>,
) -> Hostile {
    Hostile { name, template: template.into(), error: error.into() }
}

/// A template that sets `ns.s` anew, so many times.
fn again(times: usize, value: &str, rest: &str) -> String {
    format!(
        "{{% set ns = namespace(s=[1, 2]) %}}{{% for i in range({times}) %}}{{% set ns.s = {value} %}}{{% endfor %}}{rest}"
    )
}

#[test]
fn templates_neither_panic_nor_run_for_ever() {
    let fails = "the chat template fails";
    let refused = "the chat template is refused";
    let cases = [
        hostile("cycle", "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}", fails),
        hostile("sum", format!("{{{{ 1{} }}}}", "+1".repeat(20_000)), refused),
        hostile("small sum", format!("{{{{ 1{} }}}}", "+1".repeat(2_000)), None),
        hostile("not", format!("{{{{ {}1 }}}}", "not ".repeat(100_000)), refused),
        hostile("few nots", format!("{{{{ {}1 }}}}", "not ".repeat(2_000)), None),
        hostile("minus", format!("{{{{ {}1 }}}}", "-".repeat(8_000)), None),
        hostile("brackets", format!("{{{{ {}1{} }}}}", "(".repeat(4_000), ")".repeat(4_000)), None),
        hostile("lists", format!("{{{{ {}1{} }}}}", "[".repeat(4_000), "]".repeat(4_000)), None),
        hostile("attributes", format!("{{{{ a{} }}}}", ".a".repeat(4_000)), None),
        hostile("indices", format!("{{{{ a{} }}}}", "[0]".repeat(2_500)), None),
        hostile("filters", format!("{{{{ 'a'{} }}}}", "|trim".repeat(1_500)), None),
        hostile("compared", format!("{{{{ 1{} }}}}", "<1".repeat(4_000)), None),
        hostile("choices", format!("{{{{ {}1 }}}}", "1 if 1 else ".repeat(600)), None),
        hostile("elif", format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(50_000)), refused),
        hostile("few elifs", format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(900)), None),
        hostile(
            "blocks",
            format!("{}{}", "{% if 1 %}".repeat(50_000), "{% endif %}".repeat(50_000)),
            refused,
        ),
        hostile("open blocks", "{% for a in [1] %}".repeat(900), None),
        hostile("long", "a".repeat(2 << 20), refused),
        hostile("quotes", format!("{{{{ '{}", "\\".repeat(9_000)), None),
        hostile("deep", again(99_999, "[ns.s]", "{{ ns.s }}"), None),
        hostile("deep text", again(99_999, "[ns.s]", "{{ ns.s | string | length }}"), None),
        hostile("deep json", again(99_999, "[ns.s]", "{{ ns.s | tojson }}"), fails),
        hostile("deep map", again(99_999, "{'a': ns.s}", "{{ ns.s }}"), None),
        hostile("deep equal", again(50_000, "[ns.s]", "{{ ns.s == ns.s }}"), None),
        hostile("deep dropped", again(200_000, "[ns.s]", ""), None),
        hostile("shared", again(40, "[ns.s, ns.s]", "{{ ns.s }}"), fails),
        hostile("shared text", again(40, "[ns.s, ns.s]", "{{ ns.s | string | length }}"), fails),
        hostile("shared json", again(40, "[ns.s, ns.s]", "{{ ns.s | tojson | length }}"), fails),
        hostile("shared joined", again(40, "[ns.s, ns.s]", "{{ ns.s | join }}"), fails),
        hostile("shared sorted", again(40, "[ns.s, ns.s]", "{{ [ns.s, ns.s] | sort | length }}"), None),
        hostile("shared in", again(40, "[ns.s, ns.s]", "{{ [3] in ns.s }}"), None),
        hostile(
            "shared unique",
            again(40, "[ns.s, ns.s]", "{{ [ns.s, ns.s] | unique | list | length }}"),
            None,
        ),
        hostile("shared printed", again(40, "[ns.s, ns.s]", "{{ ns.s | pprint }}"), None),
        hostile("shared replace", again(40, "[ns.s, ns.s]", "{{ ns.s | replace('1', '2') | length }}"), None),
        hostile("shared raised", again(40, "[ns.s, ns.s]", "{{ raise_exception(ns.s) }}"), None),
        hostile(
            "doubled text",
            "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            fails,
        ),
        hostile(
            "doubled tilde",
            "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            fails,
        ),
        hostile(
            "replaced",
            "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s | replace('a', 'aa') %}{% endfor %}",
            fails,
        ),
        hostile(
            "itself",
            "{% set ns = namespace() %}{% set ns.s = ns %}{{ ns }}{{ ns.s == ns }}{{ ns | tojson }}",
            None,
        ),
        hostile("itself in a list", "{% set ns = namespace() %}{% set ns.s = [ns] %}{{ ns.s }}", None),
        hostile("itself as text", "{% set ns = namespace() %}{% set ns.s = [ns] %}{{ ns.s | string }}", None),
        hostile("macro", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", fails),
        hostile("loop in itself", "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", fails),
        hostile("range", "{{ range(1000000000) | list | length }}", fails),
        hostile(
            "loops",
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            fails,
        ),
        hostile("times", "{{ ('a' * 100000000000) | length }}", fails),
        hostile("power", "{{ 9 ** 9 ** 9 }}", None),
        hostile("indent", "{{ messages | tojson(indent=100000000) }}", fails),
        hostile("batch", "{{ [1] | batch(1000000000, 1) | list | length }}", None),
        hostile("slices", "{{ [1] | slice(1000000000) | list | length }}", None),
        hostile("center", "{{ 'a'.center(10000000000) }}", None),
        hostile("include", "{% include 'default' %}", None),
        hostile(
            "generation",
            "{% generation %}{% generation %}a{% endgeneration %}{% endgeneration %}",
            fails,
        ),
        hostile("half a tag", "{% generation %}a", None),
        // The one that only the clock ends; its thread goes on as long as these tests.
        hostile("doubled list", again(60, "ns.s + ns.s", "{{ ns.s | length }}"), None),
        hostile("marks", "\u{fdd0}a{% generation %}{% endgeneration %}", fails),
    ];
    let mut wrong = Vec::new();
    for Hostile { name, template, error } in cases {
        let begun = Instant::now();

        let tiny = TinyDecoder::new(json!({}));
        std::fs::write(tiny.file("chat_template.jinja"), template).unwrap();
        let rendered = ChatTemplate::load(tiny.path())
            .and_then(|template| template.unwrap().render(&[Message::new("user", "ask")], true));
        let lasted = begun.elapsed();

        match (rendered, error) {
            (Err(found), Some(error)) if !found.to_string().contains(error) => {
                wrong.push(format!("{name}: {found}"))
            }
            (Ok(text), Some(_)) => wrong.push(format!("{name}: is rendered, {} bytes", text.len())),
            _ => {}
        }
        if lasted > Duration::from_secs(20) {
            wrong.push(format!("{name}: takes {lasted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn control_characters_of_templates_are_escaped() {
    let tiny = TinyDecoder::new(json!({}));
    std::fs::write(tiny.file("chat_template.jinja"), "{{ raise_exception('\u{1b}[2J no') }}").unwrap();
    let template = ChatTemplate::load(tiny.path()).unwrap().unwrap();
    let error = template.render(&[Message::new("user", "ask")], true).unwrap_err().to_string();
    assert!(error.ends_with("\\u{1b}[2J no"), "{error}");
}

#[test]
fn tokenizers_that_multiply_texts_or_ask_for_memory_are_refused() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.write_tokenizer();
    let path = tiny.file("tokenizer.json");
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let error = |part: &str, value: serde_json::Value| {
        let mut file = file.clone();
        file[part] = value;
        std::fs::write(&path, file.to_string()).unwrap();
        Vocabulary::load(&path, 40).unwrap_err().to_string()
    };
    let replace = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
    let all = json!({"type": "Sequence", "normalizers": vec![replace.clone(); 12]});
    assert!(
        error("normalizer", all)
            .contains("is refused: its normalizer makes texts more than 4096 times as long")
    );
    let all = json!({"type": "Sequence", "decoders": vec![replace; 12]});
    assert!(error("decoder", all).contains("is refused: its decoder makes texts"));
    let table = json!({"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="});
    assert!(error("normalizer", table).contains("has a table of characters that is longer than itself"));
}
