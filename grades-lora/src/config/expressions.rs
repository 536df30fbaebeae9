//! PEFT's forms of the expressions in a configuration, by key.

use fancy_regex::Regex;

/// Wraps an expression that must match a whole name.
pub(super) fn whole(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

/// Wraps an expression that must match a name, or its end after a dot.
pub(super) fn end(pattern: &str) -> String {
    format!(r"\A(?:.*\.)?(?:{pattern})\z")
}

/// Wraps an entry of `modules_to_save`, which must match a module in a name.
pub(super) fn saved(name: &str) -> String {
    format!(r"\A(?:|.*\.)(?:{name})(?:\z|\.)")
}

/// Wraps an entry of `layers_pattern`, which must match before the number of a block.
pub(super) fn block(name: &str) -> String {
    format!(r"\A(?:|.*?\.)(?:{name})\.(\d+)\.")
}

/// Returns the problem of an expression that is invalid, on its own or wrapped.
pub(super) fn problem(source: &str, wrap: fn(&str) -> String) -> Option<String> {
    // An error on its own must not become right by being wrapped.
    let error = Regex::new(source).and_then(|_| Regex::new(&wrap(source))).err()?;
    Some(format!("\"{source}\" is no regular expression: {error}"))
}
