//! The tag `{% generation %}`, with which templates mark what the assistant says.

use std::ops::Range;

/// The filter that marks its text; the tag becomes a block of it.
pub(super) const FILTER: &str = "mark_generation";

/// Characters that no text has: Unicode reserves them for uses inside of programs.
pub(super) const BEGIN: char = '\u{fdd0}';
pub(super) const END: char = '\u{fdd1}';

/// Replaces the tags by blocks of the filter, which end lines and strip spaces in the same way.
pub(super) fn with_filter(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        // Of `{%}` the percent sign belongs to the beginning, as in the template language.
        let Some((inside, after)) = tag["{%".len()..].split_once("%}") else { break };
        out.push_str(before);
        let (left, word) = match inside.strip_prefix(['-', '+']) {
            Some(word) => inside.split_at(inside.len() - word.len()),
            None => ("", inside),
        };
        let (word, right) = match word.strip_suffix(['-', '+']) {
            Some(stripped) => word.split_at(stripped.len()),
            None => (word, ""),
        };
        match word.trim() {
            "generation" => out.push_str(&format!("{{%{left} filter {FILTER} {right}%}}")),
            "endgeneration" => out.push_str(&format!("{{%{left} endfilter {right}%}}")),
            _ => out.push_str(&format!("{{%{inside}%}}")),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Takes the marks out of a text; returns the ranges between them, or `None` where the marks do not match.
pub(super) fn without_marks(text: &str) -> Option<(String, Vec<Range<usize>>)> {
    let mut out = String::with_capacity(text.len());
    let (mut ranges, mut open) = (Vec::new(), None);
    for letter in text.chars() {
        match letter {
            BEGIN if open.is_none() => open = Some(out.len()),
            END => {
                let range = open.take()?..out.len();
                if !range.is_empty() {
                    ranges.push(range);
                }
            }
            BEGIN => return None,
            letter => out.push(letter),
        }
    }
    open.is_none().then_some((out, ranges))
}

#[cfg(test)]
mod tests {
    #[test]
    fn tags_become_filters_and_marks_ranges() {
        let source = "a{%- generation -%} b {%endgeneration%}{% if x %}{{ '%}' }}{% endif %}";
        let expected = "a{%- filter mark_generation -%} b {% endfilter %}{% if x %}{{ '%}' }}{% endif %}";
        assert_eq!(super::with_filter(source), expected);
        // A tag without an end is left to the template language to refuse.
        for source in ["a{%}", "{%", "a{% b", "a{%}{%}b{% generation", "%}{%-"] {
            assert_eq!(super::with_filter(source), source);
        }
        let (text, ranges) = super::without_marks("a\u{fdd0}bc\u{fdd1}d\u{fdd0}\u{fdd1}").unwrap();
        assert_eq!((text.as_str(), ranges.len(), ranges[0].clone()), ("abcd", 1, 1..3));
        assert!(super::without_marks("\u{fdd0}a").is_none());
    }
}
