//! Descriptions of tables and keys, for the reference and the help of the command line.

use grades::schema::Key;
use serde::Serialize;
use toml::{Table, Value};

/// A table of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct TableInfo {
    /// Its dotted name.
    pub(crate) name: String,
    /// Its purpose.
    pub(crate) about: String,
    /// Whether the table itself switches something on.
    pub(crate) optional: bool,
    /// Its keys in the order of the reference.
    pub(crate) keys: Vec<KeyInfo>,
}

/// A key of a table.
#[derive(Debug, Clone)]
pub(crate) struct KeyInfo {
    /// Its name.
    pub(crate) name: String,
    /// Its meaning.
    pub(crate) help: String,
    /// The values that it takes, where the help does not list them.
    pub(crate) accepts: Option<String>,
    /// The value that it has when it is left out.
    pub(crate) default: Default,
    /// The default under a condition, and the condition.
    pub(crate) otherwise: Option<(String, &'static str)>,
    /// The name that it had before.
    pub(crate) alias: Option<&'static str>,
    pub(super) may_change: MayChange,
}

/// The default of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Default {
    /// It must be given.
    Required,
    /// Nothing.
    None,
    /// A value, as TOML.
    Toml(String),
    /// A rule, in words.
    Note(String),
}

/// Whether a resumed run may have another value than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MayChange {
    /// Never: the value changes the result.
    No,
    /// Unless evaluations decide when the run ends.
    WithoutEarlyStopping,
    /// Always.
    Yes,
}

impl TableInfo {
    /// Marks a table that switches something on.
    pub(super) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Lets a resumed run have other values for all keys.
    pub(super) fn may_change(mut self) -> Self {
        for key in &mut self.keys {
            key.may_change = MayChange::Yes;
        }
        self
    }

    /// Describes a table by a list of keys of a library; their help ends with the default in brackets, unless
    /// `defaults` has it.
    pub(super) fn of_keys(name: &str, about: &str, keys: &[Key], defaults: &Table) -> Self {
        let keys = keys.iter().map(|key| KeyInfo::of_key(key, defaults.get(key.name))).collect();
        Self { name: name.to_owned(), about: about.to_owned(), optional: true, keys }
    }
}

impl KeyInfo {
    fn of_key(key: &Key, default: Option<&Value>) -> Self {
        let (help, given) = match key.help.strip_suffix(')').and_then(|help| help.rsplit_once(" (")) {
            Some((help, given)) => (help, Some(given)),
            None => (key.help, None),
        };
        let default = match (default, given) {
            (Some(value), _) => toml_text(value).map_or(Default::None, Default::Toml),
            (None, Some("required")) => Default::Required,
            (None, Some(given)) => Default::Note(given.to_owned()),
            (None, None) => Default::None,
        };
        Self {
            name: key.name.to_owned(),
            help: sentence(help),
            accepts: None,
            default,
            otherwise: None,
            alias: None,
            may_change: MayChange::No,
        }
    }

    /// Describes the default: `5e-5; 5e-4 with [lora]`.
    pub(crate) fn default_text(&self) -> String {
        let mut text = match &self.default {
            Default::Required => "required".to_owned(),
            Default::None => "none".to_owned(),
            Default::Toml(text) | Default::Note(text) => text.clone(),
        };
        if let Some((value, condition)) = &self.otherwise {
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

/// Writes a value as TOML; `None` for what TOML has no value for.
pub(super) fn toml_text(value: &impl Serialize) -> Option<String> {
    Some(match Value::try_from(value).ok()? {
        Value::Float(number) if number != 0.0 && number.abs() < 1e-3 => format!("{number:e}"),
        Value::Array(list) => {
            format!("[{}]", list.iter().filter_map(toml_text).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let pairs =
                table.iter().filter_map(|(key, value)| Some(format!("{key} = {}", toml_text(value)?)));
            let pairs = pairs.collect::<Vec<_>>().join(", ");
            if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {pairs} }}") }
        }
        other => other.to_string(),
    })
}
