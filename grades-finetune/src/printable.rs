//! Texts of others for a terminal: names, files and templates may have characters that move its cursor or hide what is there.

use std::borrow::Cow;

/// Escapes control characters and those that turn the direction of writing.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_, _| false)
}

/// As [`printable`], for a message of several lines: a line end before two spaces begins one of its lines.
pub(crate) fn printable_message(text: &str) -> Cow<'_, str> {
    escaped(text, |letter, rest| letter == '\n' && rest.starts_with("  "))
}

/// As [`printable`], for a text with lines.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |letter, _| letter == '\n')
}

/// Escapes the characters that do not stay; the function gets one and what follows it.
fn escaped(text: &str, stays: impl Fn(char, &str) -> bool) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        let rest = text.get(at + letter.len_utf8()..).unwrap_or_default();
        match letter {
            letter if !is_hidden(letter) || stays(letter, rest) => out.push(letter),
            letter if letter.is_ascii() => out.extend(letter.escape_default()),
            letter => out.extend(letter.escape_unicode()),
        }
    }
    Cow::Owned(out)
}

fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\u{9b}\u{202e}d\n"), "a\\u{1b}[2Jb\\tc\\u{9b}\\u{202e}d\\n");
        assert!(matches!(printable("naïve – 東京 🔥"), Cow::Borrowed(_)));
        assert_eq!(printable_message("wrong:\n  a\nerror: b\r"), "wrong:\n  a\\nerror: b\\r");
        assert_eq!(printable_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }
}
