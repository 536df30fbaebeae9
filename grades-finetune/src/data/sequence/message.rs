//! One turn of a conversation, with all its fields.

use std::fmt;

use minijinja::Value;
use minijinja::value::Serde;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Message {
    /// In the order of the file.
    fields: Variables,
}

/// Named values in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(Vec<(String, Value)>);

/// The names under which a message has the assistant's thoughts; the first is the one that templates read.
const THOUGHTS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl Message {
    /// Makes a message of a role (`system`, `user`, `assistant`, …) and a content.
    pub fn new(role: &str, content: &str) -> Self {
        let fields = [("role", role), ("content", content)];
        Self { fields: Variables(fields.map(|(key, text)| (key.to_owned(), Value::from(text))).to_vec()) }
    }

    /// Makes a message of fields.
    pub(super) fn of(fields: Variables) -> Self {
        Self { fields }
    }

    /// Returns the message with another value of a field.
    pub(super) fn with(&self, key: &str, value: Value) -> Self {
        let mut fields = self.fields.clone();
        fields.set(key, value);
        Self { fields }
    }

    /// Returns who speaks, where the message says so.
    pub fn role(&self) -> Option<&str> {
        self.fields.text("role")
    }

    /// Returns a field of the message.
    pub(super) fn field(&self, key: &str) -> Option<&Value> {
        self.fields.get(key)
    }

    /// Returns whether the message says nothing: it has no content that is not blank, and calls no tool.
    pub(super) fn is_empty(&self) -> bool {
        let blank = match self.field("content") {
            None => true,
            Some(content) => match content.as_str() {
                Some(text) => text.trim().is_empty(),
                None => !content.is_true(),
            },
        };
        blank && !self.field("tool_calls").is_some_and(Value::is_true)
    }

    /// Returns the value that templates see: fields without a value are left out, and thoughts have their usual names.
    pub(super) fn to_value(&self) -> Value {
        let mut fields: Vec<(String, Value)> =
            self.fields.iter().filter(|(_, value)| !value.is_none()).collect();
        let thoughts = THOUGHTS.iter().find_map(|key| self.fields.get(key).filter(|value| !value.is_none()));
        if let Some(thoughts) = thoughts {
            if !fields.iter().any(|(key, _)| key == "thinking") {
                fields.insert(0, ("thinking".to_owned(), thoughts.clone()));
            }
            match fields.iter_mut().find(|(key, _)| key == "reasoning_content") {
                Some((_, value)) => *value = thoughts.clone(),
                None => fields.push(("reasoning_content".to_owned(), thoughts.clone())),
            }
        }
        Variables(fields).to_value()
    }
}

impl Variables {
    /// Returns the map that templates see, in the order of the names.
    pub(super) fn to_value(&self) -> Value {
        Value::from(Serde(self))
    }

    /// Returns the value of a name.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Returns the text of a name.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// Sets a name's value.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Returns the names.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// Returns names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (String, Value)> + '_ {
        self.0.iter().cloned()
    }

    /// Returns all but some names.
    pub(super) fn without(&self, keys: &[&str]) -> Self {
        Self(self.0.iter().filter(|(key, _)| !keys.contains(&key.as_str())).cloned().collect())
    }

    /// Makes variables of a map's entries, or `None` for another value.
    pub(super) fn of(value: &Value) -> Option<Self> {
        if value.kind() != minijinja::value::ValueKind::Map {
            return None;
        }
        let keys = value.try_iter().ok()?;
        let entries = keys.map(|key| Some((key.as_str()?.to_owned(), value.get_item(&key).ok()?)));
        entries.collect::<Option<_>>().map(Self)
    }
}

impl FromIterator<(String, Value)> for Variables {
    /// Collects entries; later values replace earlier ones of the same name.
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        let mut variables = Self::default();
        for (key, value) in entries {
            variables.set(&key, value);
        }
        variables
    }
}

impl Serialize for Variables {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VariablesVisitor;
        impl<'de> Visitor<'de> for VariablesVisitor {
            type Value = Variables;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut variables = Variables::default();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if value.kind() == minijinja::value::ValueKind::Invalid {
                        return Err(de::Error::custom(format!("{key}: {value}")));
                    }
                    variables.set(&key, value);
                }
                Ok(variables)
            }
        }
        deserializer.deserialize_map(VariablesVisitor)
    }
}
