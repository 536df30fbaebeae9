//! The keys of a table, described.

use serde::Serialize;
use toml::Value;

/// A key that a table may have.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// Its meaning. One that [`new`](Self::new) made may end with its default in brackets.
    pub help: &'static str,
    facts: Option<fn() -> KeyFacts>,
}

/// The values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// The values that it takes, where its meaning does not list them.
    pub accepts: Option<String>,
    /// The value that it has when it is left out.
    pub default: DefaultValue,
    /// The default under a condition, as TOML, and the condition.
    pub otherwise: Option<(String, &'static str)>,
    /// The name that it had before.
    pub alias: Option<&'static str>,
}

/// The value of a key that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefaultValue {
    /// The key must be given.
    Required,
    /// Nothing.
    None,
    /// A value, as TOML.
    Toml(String),
    /// A rule, in words.
    Note(String),
}

impl Key {
    /// Creates a key with its meaning, which may end with the default in brackets, such as `(5)` or `(required)`.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, facts: None }
    }

    /// Creates a key whose values are described; the help is text of a doc comment. `table!`
    /// makes such keys.
    pub const fn described(name: &'static str, help: &'static str, facts: fn() -> KeyFacts) -> Self {
        Self { name, help: doc_text(help), facts: Some(facts) }
    }

    /// Returns the meaning without the default.
    pub fn meaning(&self) -> &'static str {
        self.help_and_default().0
    }

    /// Returns the values of the key.
    pub fn facts(&self) -> KeyFacts {
        if let Some(facts) = self.facts {
            return facts();
        }
        let default = match self.help_and_default().1 {
            Some("required") => DefaultValue::Required,
            Some(default) => DefaultValue::Note(default.to_owned()),
            None => DefaultValue::None,
        };
        KeyFacts { accepts: None, default, otherwise: None, alias: None }
    }

    /// Returns the meaning, and in brackets the accepted values and the default.
    pub fn line(&self) -> String {
        let KeyFacts { accepts, default, .. } = self.facts();
        let default = match default {
            DefaultValue::Required => Some("required".to_owned()),
            DefaultValue::None => None,
            DefaultValue::Toml(value) | DefaultValue::Note(value) => Some(format!("default: {value}")),
        };
        let details: Vec<String> = accepts.into_iter().chain(default).collect();
        if details.is_empty() {
            return self.meaning().to_owned();
        }
        format!("{} ({})", self.meaning(), details.join("; "))
    }

    fn help_and_default(&self) -> (&'static str, Option<&'static str>) {
        let parts = self.help.strip_suffix(')').and_then(|help| help.rsplit_once(" ("));
        match parts.filter(|_| self.facts.is_none()) {
            Some((help, default)) => (help, Some(default)),
            None => (self.help, None),
        }
    }
}

impl DefaultValue {
    /// Writes a value as TOML; `None` for a value that TOML has no form for, such as that of an absent key.
    pub fn of(value: &impl Serialize) -> Self {
        Value::try_from(value).map_or(Self::None, |value| Self::Toml(text(&value)))
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Float(number) if *number != 0.0 && number.abs() < 1e-3 => format!("{number:e}"),
        Value::Array(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Table(table) if table.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{key} = {}", text(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Returns the text of a doc comment without the space before it and the full stop after it.
pub const fn doc_text(doc: &'static str) -> &'static str {
    let doc = doc.trim_ascii();
    match doc.as_bytes() {
        [text @ .., b'.'] => doc.split_at(text.len()).0,
        _ => doc,
    }
}

/// Joins two lists of keys into one of `N`, the sum of their lengths.
///
/// ```
/// use grades::schema::{Key, join_keys};
///
/// const OWN: &[Key] = &[Key::new("rank", "rank of the adapters (8)")];
/// const MORE: &[Key] = &[Key::new("merge", "merge what froze (false)")];
/// const KEYS: &[Key] = &join_keys::<{ OWN.len() + MORE.len() }>(OWN, MORE);
/// assert_eq!(KEYS[1].name, "merge");
/// ```
///
/// # Panics
///
/// When the compiler evaluates it and `N` is another number.
pub const fn join_keys<const N: usize>(first: &[Key], second: &[Key]) -> [Key; N] {
    assert!(first.len() + second.len() == N, "N must be the number of all keys");
    let mut keys = [Key::new("", ""); N];
    let mut index = 0;
    while index < N {
        keys[index] = if index < first.len() { first[index] } else { second[index - first.len()] };
        index += 1;
    }
    keys
}
