//! A policy's history as plain data.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::error::{Error, Result};

/// The history of a policy: named values that TOML can write.
///
/// A policy keeps its history in a struct with serde's derives and `deny_unknown_fields`, and converts it with
/// [`of`](Self::of) and [`read`](Self::read).
///
/// ```
/// use grades::policy::PolicyState;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Hits {
///     hits: u64,
/// }
///
/// let state = PolicyState::of(&Hits { hits: 3 })?;
/// let hits: Hits = state.read("patience")?;
/// assert_eq!(hits.hits, 3);
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyState {
    table: Table,
}

impl PolicyState {
    /// Serialises a history.
    ///
    /// # Errors
    ///
    /// [`Error::State`] when TOML cannot write a value, such as an integer above `i64::MAX`, or when the history is
    /// not a struct or a map.
    pub fn of(history: &impl Serialize) -> Result<Self> {
        match Table::try_from(history) {
            Ok(table) => Ok(Self { table }),
            Err(error) => Err(Error::State {
                what: std::any::type_name_of_val(history).to_owned(),
                reason: format!("TOML cannot write it: {}", error.to_string().trim()),
            }),
        }
    }

    /// Deserialises the history that [`of`](Self::of) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::State`] when an entry is missing, unknown or of the wrong form.
    pub fn read<T: DeserializeOwned>(&self, policy: &str) -> Result<T> {
        let reading = self.table.clone().try_into();
        reading.map_err(|error| state_error(policy, error.message()))
    }

    /// Checks that there is no state, for a policy that has none.
    ///
    /// # Errors
    ///
    /// [`Error::State`] when there is some.
    pub fn expect_empty(&self, policy: &str) -> Result<()> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(state_error(policy, &format!("entry \"{key}\" is unknown: it has no history"))),
        }
    }

    /// Returns the state as a TOML table.
    pub fn as_table(&self) -> &Table {
        &self.table
    }

    /// Creates a state from a TOML table.
    pub fn from_table(table: Table) -> Self {
        Self { table }
    }
}

fn state_error(policy: &str, reason: &str) -> Error {
    Error::State { what: format!("policy \"{policy}\""), reason: reason.trim().to_owned() }
}
