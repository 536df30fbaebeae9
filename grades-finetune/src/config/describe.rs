//! Descriptions of tables and keys, for the reference and the help of the command line.

use grades::schema::{ConfigTable, DefaultValue, Key, KeyFacts};
use toml::Table;

/// A table of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct TableInfo {
    /// Its dotted name.
    pub(crate) name: &'static str,
    /// Its purpose.
    pub(crate) about: &'static str,
    /// Whether the table itself switches something on.
    pub(crate) optional: bool,
    /// Its keys in the order of the reference.
    pub(crate) keys: Vec<KeyInfo>,
}

/// A key of a table.
#[derive(Debug, Clone)]
pub(crate) struct KeyInfo {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its meaning.
    pub(crate) help: String,
    /// Its values.
    pub(crate) facts: KeyFacts,
}

impl TableInfo {
    /// Describes a table that always applies.
    pub(super) fn of<T: ConfigTable>() -> Self {
        Self::of_keys(T::NAME, T::ABOUT, T::KEYS)
    }

    /// Describes a table by its keys.
    pub(super) fn of_keys(name: &'static str, about: &'static str, keys: &[Key]) -> Self {
        let about = about.trim_end_matches('.');
        Self { name, about, optional: false, keys: keys.iter().map(KeyInfo::of).collect() }
    }

    /// Marks a table that switches something on.
    pub(super) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Sets the defaults of keys whose description has none as TOML.
    pub(super) fn with_defaults(mut self, defaults: &Table) -> Self {
        for key in &mut self.keys {
            if let Some(value) = defaults.get(key.name) {
                key.facts.default = DefaultValue::of(value);
            }
        }
        self
    }
}

impl KeyInfo {
    fn of(key: &Key) -> Self {
        Self { name: key.name, help: sentence(key.meaning()), facts: key.facts() }
    }

    /// Describes the default: `5e-5; 5e-4 with [lora]`.
    pub(crate) fn default_text(&self) -> String {
        let mut text = match &self.facts.default {
            DefaultValue::Required => "required".to_owned(),
            DefaultValue::None => "none".to_owned(),
            DefaultValue::Toml(text) | DefaultValue::Note(text) => text.clone(),
        };
        if let Some((value, condition)) = &self.facts.otherwise {
            text += &format!("; {value} {condition}");
        }
        text
    }
}

/// Begins a text with a capital letter, unless it begins with a name.
fn sentence(text: &str) -> String {
    let first = text.split([' ', ',']).next().unwrap_or_default();
    if first == "r" || !first.chars().all(|letter| letter.is_ascii_lowercase()) {
        return text.to_owned();
    }
    let (head, rest) = text.split_at(1);
    head.to_uppercase() + rest
}
