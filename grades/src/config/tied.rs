//! The treatment of embeddings that are the output matrix as well.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::schema::unknown_name;

/// The treatment of an embedding that is tied to the output matrix, once the first block is frozen whole.
///
/// An embedding of its own is frozen with the first block ([`Followers::WithBlock`](super::Followers::WithBlock)). A tied one
/// also gets gradients as the output matrix, and as long as it trains through both sides the backward pass must go through
/// all frozen blocks down to it. With [`Followers::Keep`](super::Followers::Keep) it trains to the end whatever is set here.
///
/// ```
/// use grades::config::Tied;
///
/// assert_eq!("head".parse::<Tied>()?, Tied::Head);
/// assert_eq!(Tied::Both.to_string(), "both");
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tied {
    /// It trains through both sides until the run ends.
    #[default]
    Keep,
    /// It goes on training as the output matrix alone. The model must detach its input side while
    /// [`FreezingOptimizer::input_is_frozen`](crate::FreezingOptimizer::input_is_frozen) returns true. The matrix still moves,
    /// so what the frozen blocks get as their input does, too.
    Head,
    /// It is frozen with the first block, as the input and as the output matrix.
    Both,
}

impl Tied {
    /// All of them.
    pub const ALL: [Tied; 3] = [Self::Keep, Self::Head, Self::Both];

    /// The kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Head => "head",
            Self::Both => "both",
        }
    }
}

impl fmt::Display for Tied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tied {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|tied| tied.name() == word);
        found.ok_or_else(|| unknown_name("value", word, Self::ALL.iter().map(|tied| tied.name())))
    }
}
