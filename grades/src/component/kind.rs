//! The role of a weight matrix in a transformer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::schema::unknown_name;

/// The role of a component in its transformer block, or outside of the blocks.
///
/// The names are kebab-case in configuration files and reports.
///
/// ```
/// use grades::component::ComponentKind;
///
/// assert_eq!("fused-qkv".parse::<ComponentKind>()?, ComponentKind::FusedQkv);
/// assert_eq!(ComponentKind::Down.to_string(), "down");
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ComponentKind {
    /// Query projection of attention.
    Query,
    /// Key projection of attention.
    Key,
    /// Value projection of attention.
    Value,
    /// Output projection of attention.
    Output,
    /// Gate projection of a gated feed-forward network.
    Gate,
    /// First (or "up") projection of a feed-forward network.
    Up,
    /// Second (or "down") projection of a feed-forward network.
    Down,
    /// Query, key and value in one matrix.
    FusedQkv,
    /// Gate and up in one matrix.
    FusedGateUp,
    /// Token, position, type or patch embeddings, with a normalisation of their own.
    Embedding,
    /// Scale or shift of a normalisation.
    Norm,
    /// The layers from hidden states to the task's outputs, pooler included.
    Head,
    /// The matrices of an adapter, such as LoRA's A and B.
    Adapter,
    /// Anything else: biases, and what no pattern knows.
    Other,
}

impl ComponentKind {
    /// All kinds, in the order in which reports list them.
    pub const ALL: [ComponentKind; 14] = [
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Output,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::FusedQkv,
        Self::FusedGateUp,
        Self::Embedding,
        Self::Norm,
        Self::Head,
        Self::Adapter,
        Self::Other,
    ];

    /// The projections of attention, fused or not.
    pub const ATTENTION: [ComponentKind; 5] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::FusedQkv];

    /// The projections of the feed-forward network, fused or not.
    pub const MLP: [ComponentKind; 4] = [Self::Gate, Self::Up, Self::Down, Self::FusedGateUp];

    /// The kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
            Self::Output => "output",
            Self::Gate => "gate",
            Self::Up => "up",
            Self::Down => "down",
            Self::FusedQkv => "fused-qkv",
            Self::FusedGateUp => "fused-gate-up",
            Self::Embedding => "embedding",
            Self::Norm => "norm",
            Self::Head => "head",
            Self::Adapter => "adapter",
            Self::Other => "other",
        }
    }

    /// The kinds that a configuration word names: a kind itself, `attention` or `mlp`.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] with all words when it names nothing.
    pub fn group(word: &str) -> Result<Vec<ComponentKind>, Error> {
        match word {
            "attention" => Ok(Self::ATTENTION.to_vec()),
            "mlp" => Ok(Self::MLP.to_vec()),
            _ => match Self::ALL.iter().find(|kind| kind.name() == word) {
                Some(kind) => Ok(vec![*kind]),
                None => {
                    let known = Self::ALL.iter().map(|kind| kind.name()).chain(["attention", "mlp"]);
                    Err(unknown_name("component kind", word, known))
                }
            },
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ComponentKind {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == word)
            .ok_or_else(|| unknown_name("component kind", word, Self::ALL.iter().map(|kind| kind.name())))
    }
}
