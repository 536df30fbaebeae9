//! Sums over a run.

use serde::{Deserialize, Serialize};

/// The examples, tokens, FLOPs and evaluations of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Training examples, each as often as it was seen.
    pub examples: u64,
    /// Training tokens, padding left out.
    pub tokens: u64,
    /// The FLOPs of the training steps.
    #[serde(with = "text")]
    pub flops: u128,
    /// The FLOPs of the same steps if nothing had been frozen.
    #[serde(with = "text")]
    pub flops_without_freezing: u128,
    /// The FLOPs of the training steps that the activation cache saved; they are not in `flops`.
    #[serde(default, with = "text")]
    pub cache_flops: u128,
    /// The FLOPs of the evaluations between steps.
    #[serde(default, with = "text")]
    pub validation_flops: u128,
    /// The number of evaluations between steps.
    pub validations: u64,
}

impl Totals {
    /// Adds an evaluation between steps.
    pub fn add_validation(&mut self, flops: u128) {
        self.validations += 1;
        self.validation_flops = self.validation_flops.saturating_add(flops);
    }
}

/// The steps of the first and the last freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FreezeSpan {
    /// The first.
    #[serde(rename = "first_freeze", default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// The last.
    #[serde(rename = "last_freeze", default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
}

impl FreezeSpan {
    /// Adds a freeze.
    pub fn add(&mut self, step: u64) {
        self.first.get_or_insert(step);
        self.last = Some(step);
    }
}

/// Large integers as text: TOML's have 64 bits.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The first version wrote nothing for no FLOPs.
        if text.is_empty() { Ok(0) } else { text.parse().map_err(serde::de::Error::custom) }
    }
}
