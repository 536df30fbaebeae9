//! The weights of labels in the loss.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// The weights of labels in the loss.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// Each label's weight is the number of examples divided by that of labels and that of its own examples.
    Balanced,
    /// A weight for each label.
    ByLabel(BTreeMap<String, f64>),
}

const BALANCED: &str = "balanced";

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Balanced => serializer.serialize_str(BALANCED),
            Self::ByLabel(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = |table: toml::Table| -> Option<BTreeMap<String, f64>> {
            let number =
                |value: &toml::Value| value.as_float().or(value.as_integer().map(|whole| whole as f64));
            let fits = |weight: &f64| weight.is_finite() && *weight >= 0.0;
            table.into_iter().map(|(label, value)| Some((label, number(&value).filter(fits)?))).collect()
        };
        let expected = || D::Error::custom("expected \"balanced\" or a table of numbers");
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) if word == BALANCED => Ok(Self::Balanced),
            toml::Value::Table(table) => numbers(table).map(Self::ByLabel).ok_or_else(expected),
            _ => Err(expected()),
        }
    }
}
