//! Chat templates, rendered by us and by transformers.

use grades_finetune::data::sequence::{ChatTemplate, Message};
use serde_json::json;

use crate::python::{script, skipped};
use crate::tiny_decoder::{TEMPLATE, TinyDecoder};

/// The constructs of published templates: namespaces, loop variables, slices, methods of strings, tests, JSON.
const FEATURES: &str = "{% set ns = namespace(last=-1) %}
{%- for message in messages[::-1] %}
    {%- if ns.last == -1 and message.role == 'user' and not(message.content.startswith('<tool>')) %}
        {%- set ns.last = (messages | length - 1) - loop.index0 %}
    {%- endif %}
{%- endfor %}
{{ bos_token }}{% for message in messages %}
{% if message['role'] not in ['user', 'assistant'] %}[{{ message.role | upper }}]{% endif %}
<|{{ message.role }}|>
{{ message['content'].strip() | replace('</think>', '') }}{% if loop.index0 > ns.last and '</think>' in message.content %}+{{ message.content.split('</think>')[-1].lstrip('\\n') }}{% endif %}
{{ message | tojson }} {{- {'a': [1, 2.5, none, true], 'b': '<é\"'} | tojson }}{% if not loop.last %},{% endif %}

{% endfor %}
{%- if tools is defined and tools %}{{ tools }}{% endif %}
{%- if custom is not defined and add_generation_prompt %}<|assistant|>
{% endif %}
";

#[test]
fn templates_render_as_in_transformers() {
    if skipped() {
        return;
    }
    let message = |role: &str, content: &str| Message::new(role, content);
    let conversations = vec![
        vec![message("user", " what? ")],
        vec![
            message("system", "be\nbrief "),
            message("user", "ünï <b> 'q' \"d\""),
            message("assistant", "<think>a</think>\n\nb"),
        ],
        vec![
            message("user", "<tool>"),
            message("assistant", "x"),
            message("user", "{{ y }}"),
            message("assistant", "z"),
        ],
    ];
    for template in [FEATURES, TEMPLATE] {
        let tiny = TinyDecoder::new(json!({}));
        tiny.write_tokenizer();
        std::fs::write(tiny.file("chat_template.jinja"), template).unwrap();
        let (question, answer) = (tiny.file("question.json"), tiny.file("answer.json"));
        std::fs::write(&question, serde_json::to_string(&conversations).unwrap()).unwrap();
        script("chat.py", &[tiny.path(), &question, &answer]);
        let theirs: Vec<[String; 2]> = serde_json::from_slice(&std::fs::read(&answer).unwrap()).unwrap();
        let ours = ChatTemplate::load(tiny.path()).unwrap().unwrap();
        for (conversation, [plain, prompted]) in conversations.iter().zip(theirs) {
            assert_eq!(ours.render(conversation, false).unwrap(), plain);
            assert_eq!(ours.render(conversation, true).unwrap(), prompted);
        }
    }
}
