//! Makes chat templates by the grammar of Jinja, most of them harmful.

use crate::mutate::Numbers;

const NAMES: [&str; 14] = [
    "messages",
    "messages[0]",
    "messages[0].content",
    "ns.s",
    "ns.t",
    "x",
    "loop",
    "loop.index",
    "bos_token",
    "tools",
    "none",
    "true",
    "self",
    "undefined_name",
];
const OPERATORS: [&str; 20] = [
    "+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or",
    "is", "is not",
];
const FILTERS: [&str; 44] = [
    "length",
    "list",
    "join",
    "join(ns.s)",
    "sort",
    "unique",
    "reverse",
    "string",
    "tojson",
    "tojson(indent=9)",
    "trim",
    "upper",
    "first",
    "last",
    "min",
    "max",
    "sum",
    "abs",
    "int",
    "float",
    "round(3)",
    "items",
    "dictsort",
    "batch(2)",
    "slice(3)",
    "map('length')",
    "map(attribute='x')",
    "select",
    "select('odd')",
    "reject('in', ns.s)",
    "groupby('role')",
    "replace('a', 'aaaa')",
    "indent(9999)",
    "default(x)",
    "format(1, 2)",
    "lines",
    "split",
    "chain(ns.s)",
    "zip(ns.s)",
    "safe",
    "escape",
    "urlencode",
    "bool",
    "attr('content')",
];
const TESTS: [&str; 14] = [
    "defined",
    "string",
    "sequence",
    "iterable",
    "mapping",
    "odd",
    "divisibleby(0)",
    "sameas(x)",
    "in(ns.s)",
    "eq(ns.s)",
    "number",
    "true",
    "startingwith('a')",
    "callable",
];
const CALLS: [&str; 22] = [
    "range(9)",
    "range(99999)",
    "range(9, 0, -1)",
    "range(0, 9, 0)",
    "namespace()",
    "dict(a=1)",
    "loop.cycle()",
    "loop.cycle(1, 2)",
    "loop.changed(ns.s)",
    "loop(ns.s)",
    "raise_exception(ns.s)",
    "strftime_now('%Y')",
    "f(x)",
    "f()",
    "caller()",
    "lipsum()",
    "debug()",
    "messages.append(1)",
    "'a'.join(ns.s)",
    "'%d' % ns.s",
    "'{}'.format(ns.s)",
    "super()",
];
const METHODS: [&str; 12] = [
    ".split('a')",
    ".strip()",
    ".replace('a', 'bb')",
    ".items()",
    ".keys()",
    ".startswith('a')",
    ".get('a')",
    ".count('')",
    ".title()",
    ".splitlines()",
    ".find('')",
    ".rsplit('a', 1)",
];
const TEXTS: [&str; 9] = [
    "'a'",
    "'%99d'",
    "\"\\u0000\"",
    "'\u{fdd0}'",
    "'东🔥'",
    "''",
    "'</s>'",
    "'{{ x }}'",
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
];
const NUMBERS: [&str; 9] = [
    "0",
    "1",
    "-1",
    "2.5",
    "1e308",
    "9223372036854775807",
    "170141183460469231731687303715884105727",
    "1000000000",
    "0x7f",
];

const TAGS: [(&str, &str); 6] = [
    ("{% if 1 %}", "{% endif %}"),
    ("{% for a in x %}", "{% endfor %}"),
    ("{% with %}", "{% endwith %}"),
    ("{% filter trim %}", "{% endfilter %}"),
    ("{% elif 0 %}", ""),
    ("{% generation %}", "{% endgeneration %}"),
];

/// An expression of at most this depth.
fn expression(numbers: &mut Numbers, depth: usize) -> String {
    if depth == 0 {
        return match numbers.below(5) {
            0 => numbers.one(&NUMBERS).to_owned(),
            1 => numbers.one(&TEXTS).to_owned(),
            2 => numbers.one(&CALLS).to_owned(),
            _ => numbers.one(&NAMES).to_owned(),
        };
    }
    let inner = |numbers: &mut Numbers| expression(numbers, depth - 1);
    match numbers.below(13) {
        0 | 1 => format!("{} {} {}", inner(numbers), numbers.one(&OPERATORS), inner(numbers)),
        2 | 3 => format!("{} | {}", inner(numbers), numbers.one(&FILTERS)),
        4 => format!("({}){}", inner(numbers), numbers.one(&METHODS)),
        5 => format!("{} is {}", inner(numbers), numbers.one(&TESTS)),
        6 => format!("[{}, {}]", inner(numbers), inner(numbers)),
        7 => format!("{{'a': {}, {}: 1}}", inner(numbers), inner(numbers)),
        8 => format!("({} if {} else {})", inner(numbers), inner(numbers), inner(numbers)),
        9 => {
            let from = inner(numbers);
            format!("({from})[{}:{}:{}]", inner(numbers), inner(numbers), numbers.one(&NUMBERS))
        }
        10 => format!("({})[{}]", inner(numbers), inner(numbers)),
        11 => format!("not {}", inner(numbers)),
        _ => {
            // One thing again and again, now and then very often.
            let times = 1 << numbers.seldom(20, 14, 7);
            let one = inner(numbers);
            match numbers.below(6) {
                0 => format!("{}{one}{}", "(".repeat(times), ")".repeat(times)),
                1 => format!("{}{one}{}", "[".repeat(times), "]".repeat(times)),
                2 => format!("{}{one}", "not ".repeat(times)),
                3 => format!("{one}{}", format!(" {} 1", numbers.one(&OPERATORS)).repeat(times)),
                4 => format!("{one}{}", format!("|{}", numbers.one(&FILTERS)).repeat(times)),
                _ => format!("x{}", "[0]".repeat(times)),
            }
        }
    }
}

/// Statements of at most this depth.
fn statements(numbers: &mut Numbers, depth: usize) -> String {
    let count = 1 + numbers.below(3);
    (0..count).map(|_| statement(numbers, depth)).collect()
}

fn statement(numbers: &mut Numbers, depth: usize) -> String {
    let value = |numbers: &mut Numbers| {
        let depth = numbers.below(4);
        expression(numbers, depth)
    };
    if depth == 0 || numbers.below(3) == 0 {
        return match numbers.below(6) {
            0 => "<|im_start|>user\n".to_owned(),
            1 => format!("{{% set x = {} %}}", value(numbers)),
            2 => format!("{{% set ns.s = {} %}}", value(numbers)),
            3 => "{# a comment {% #}{% raw %}{{ x }}{% endraw %}".to_owned(),
            _ => format!("{{{{- {} -}}}}", value(numbers)),
        };
    }
    let inside = |numbers: &mut Numbers| statements(numbers, depth - 1);
    match numbers.below(12) {
        0 => format!("{{% for m in {} %}}{}{{% else %}}-{{% endfor %}}", value(numbers), inside(numbers)),
        1 => format!("{{% for m in messages recursive %}}{}{{{{ loop(x) }}}}{{% endfor %}}", inside(numbers)),
        2 => {
            // What is doubled, shared, nested or its own part.
            let grow = numbers.one(&[
                "ns.s + ns.s",
                "[ns.s]",
                "[ns.s, ns.s]",
                "{'a': ns.s, 'b': ns.s}",
                "ns.s ~ ns.s",
                "ns",
                "[ns, ns.s]",
                "(ns.s, ns.s)",
                "ns.s | list",
                "ns.s * 2",
                "ns.s[::-1]",
                "ns.s | map('string') | list",
                "ns.s | string",
            ]);
            let times = numbers.one(&["9", "40", "60", "300", "9999", "99999"]);
            let used = value(numbers);
            format!(
                "{{% for i in range({times}) %}}{{% set ns.s = {grow} %}}{{% endfor %}}{{{{ ns.s | {} }}}}{{{{ {used} }}}}",
                numbers.one(&FILTERS)
            )
        }
        3 => format!(
            "{{% if {} %}}{}{{% elif x %}}{}{{% else %}}{{% endif %}}",
            value(numbers),
            inside(numbers),
            inside(numbers)
        ),
        4 => format!("{{% macro f(x) %}}{}{{{{ f(x) }}}}{{% endmacro %}}{{{{ f(1) }}}}", inside(numbers)),
        5 => format!("{{% filter {} %}}{}{{% endfilter %}}", numbers.one(&FILTERS), inside(numbers)),
        6 => format!("{{% with x = {} %}}{}{{% endwith %}}", value(numbers), inside(numbers)),
        7 => format!("{{% generation %}}{}{{% endgeneration %}}", inside(numbers)),
        8 => format!("{{% set x %}}{}{{% endset %}}", inside(numbers)),
        9 => format!("{{% call f(x) %}}{}{{% endcall %}}", inside(numbers)),
        10 => numbers
            .one(&[
                "{% include 'default' %}",
                "{% extends 'default' %}",
                "{% import 'default' as x %}",
                "{% block a %}{{ super() }}{% endblock %}",
                "{% do x %}",
                "{% break %}",
                "{%",
            ])
            .to_owned(),
        _ => {
            let times = 1 << numbers.seldom(20, 13, 6);
            let (open, close) = TAGS[numbers.below(TAGS.len())];
            format!("{}{}{}", open.repeat(times), inside(numbers), close.repeat(times))
        }
    }
}

/// A template.
pub(crate) fn template(numbers: &mut Numbers) -> Vec<u8> {
    let depth = 1 + numbers.below(4);
    let body = statements(numbers, depth);
    format!("{{% set ns = namespace(s=[1, 2], t='ab') %}}{{% set x = [messages] %}}{body}").into_bytes()
}
