//! Texts of others in Markdown and YAML.

use std::fmt::Write;

use crate::printable::printable;

/// Escapes a text so that Markdown shows it as it is, also in a table.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in printable(text).chars() {
        if letter.is_ascii_punctuation() && !matches!(letter, '.' | ',' | '-' | '/' | '%') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Writes a text as a string of YAML in double quotes.
pub(super) fn yaml(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            // A line break of YAML, a control character, or one that a YAML file must not have.
            letter
                if letter.is_control()
                    || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                // Writing into a text does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes a text as a block of code.
pub(super) fn code(language: &str, text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end())
}

/// Writes a name that the Hub accepts; `None` where nothing of it is left.
pub(super) fn hub_name(text: &str) -> Option<String> {
    const LONGEST: usize = 96;
    let mut name = String::new();
    for letter in text.chars() {
        let letter = if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
        // Two dots or hyphens in a row are refused.
        if !("-.".contains(letter) && name.ends_with(['-', '.'])) && name.len() < LONGEST {
            name.push(letter);
        }
    }
    let name = name.trim_matches(['.', '-']);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_stay_texts() {
        assert_eq!(
            markdown("a|b <script>`x`\n[l](u) *b*"),
            "a\\|b \\<script\\>\\`x\\`\\\\n\\[l\\]\\(u\\) \\*b\\*"
        );
        assert_eq!(markdown("https://x.de & 東京"), "https\\://x.de \\& 東京");
        assert_eq!(
            yaml("a: \"b\"\n---\n#\\ \u{85}\u{2028}\u{1}é"),
            r#""a: \"b\"\u000a---\u000a#\\ \u0085\u2028\u0001é""#
        );
        assert_eq!(code("toml", "a = '''\n```\n'''\n"), "````toml\na = '''\n```\n'''\n````\n");
        assert_eq!(code("toml", "a = 1\n"), "```toml\na = 1\n```\n");
        assert_eq!(hub_name("../my data/ü"), Some("my-data".to_owned()));
        assert_eq!(hub_name("///"), None);
    }
}
