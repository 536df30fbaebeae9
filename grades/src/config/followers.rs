//! The treatment of parameters outside of components.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::schema::unknown_name;

/// The treatment of biases, norms and embeddings while components freeze.
///
/// As long as any parameter below a layer trains, the backward pass must go through that layer, whether its matrices
/// are frozen or not. With `with-block` it ends at the lowest block that still trains.
///
/// ```
/// use grades::config::Followers;
///
/// assert_eq!("keep".parse::<Followers>()?, Followers::Keep);
/// assert_eq!(Followers::default().to_string(), "with-block");
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Followers {
    /// They train until the run ends, as in the published versions.
    Keep,
    /// Parameters of a transformer block are frozen once all of the block's components are, and the embeddings with the first
    /// block. [`Tied`](super::Tied) says what happens to embeddings that are the output matrix as well: a tensor has two
    /// names, or no parameter is of kind `head`.
    #[default]
    WithBlock,
}

impl Followers {
    /// Both.
    pub const ALL: [Followers; 2] = [Self::Keep, Self::WithBlock];

    /// The kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::WithBlock => "with-block",
        }
    }
}

impl fmt::Display for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Followers {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|followers| followers.name() == word);
        found.ok_or_else(|| unknown_name("value", word, Self::ALL.iter().map(|followers| followers.name())))
    }
}
