//! The role of a weight matrix in a transformer.

use crate::error::Error;
use crate::schema::{Words, unknown_name, words};

words! {
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
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[non_exhaustive]
    pub enum ComponentKind: "component kind" {
        /// Query projection of attention.
        Query = "query",
        /// Key projection of attention.
        Key = "key",
        /// Value projection of attention.
        Value = "value",
        /// Output projection of attention.
        Output = "output",
        /// Gate projection of a gated feed-forward network.
        Gate = "gate",
        /// First (or "up") projection of a feed-forward network.
        Up = "up",
        /// Second (or "down") projection of a feed-forward network.
        Down = "down",
        /// Query, key and value in one matrix.
        FusedQkv = "fused-qkv",
        /// Gate and up in one matrix.
        FusedGateUp = "fused-gate-up",
        /// Token, position, type or patch embeddings, with a normalisation of their own.
        Embedding = "embedding",
        /// Scale or shift of a normalisation.
        Norm = "norm",
        /// The layers from hidden states to the task's outputs, pooler included.
        Head = "head",
        /// The matrices of an adapter, such as LoRA's A and B.
        Adapter = "adapter",
        /// Anything else: biases, and what no pattern knows.
        Other = "other",
    }
}

impl ComponentKind {
    /// The projections of attention, fused or not.
    pub const ATTENTION: [ComponentKind; 5] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::FusedQkv];

    /// The projections of the feed-forward network, fused or not.
    pub const MLP: [ComponentKind; 4] = [Self::Gate, Self::Up, Self::Down, Self::FusedGateUp];

    /// Returns the kinds that a configuration word names: a kind itself, `attention` or `mlp`.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] with all words when it names nothing.
    pub fn group(word: &str) -> Result<Vec<ComponentKind>, Error> {
        match word {
            "attention" => Ok(Self::ATTENTION.to_vec()),
            "mlp" => Ok(Self::MLP.to_vec()),
            _ => match Self::from_word(word) {
                Some(kind) => Ok(vec![kind]),
                None => Err(unknown_name(Self::NOUN, word, Self::words().chain(["attention", "mlp"]))),
            },
        }
    }
}
