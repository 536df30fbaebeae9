//! The user's words for where the text and the label are.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use grades::schema::words;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// A column, by its name in the header or by its position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Column {
    /// The one whose name says so, or the other one of two; `auto` in a configuration.
    #[default]
    Auto,
    /// The position from 0; negative ones count from the end, -1 is the last.
    Position(i64),
    /// The name in the header, or the key of a JSON object.
    Name(String),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Position(position) => write!(f, "{position}"),
            Self::Name(name) => write!(f, "\"{name}\""),
        }
    }
}

impl FromStr for Column {
    type Err = Infallible;

    /// Reads a column: a whole number is a position, anything else but `auto` a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            _ => text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Position),
        })
    }
}

impl Serialize for Column {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Position(position) => serializer.serialize_i64(*position),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnVisitor;
        impl Visitor<'_> for ColumnVisitor {
            type Value = Column;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column name such as \"sentence\" or a position such as 0 or -1")
            }

            fn visit_i64<E: de::Error>(self, position: i64) -> Result<Column, E> {
                Ok(Column::Position(position))
            }

            fn visit_u64<E: de::Error>(self, position: u64) -> Result<Column, E> {
                i64::try_from(position).map(Column::Position).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Column, E> {
                Ok(if name == "auto" { Column::Auto } else { Column::Name(name.to_owned()) })
            }
        }
        deserializer.deserialize_any(ColumnVisitor)
    }
}

/// Whether the first line of a table has the names of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// It does.
    Yes,
    /// It is an example like the others.
    No,
    /// It does if a column is given by name, if it has names that columns of texts and labels usually have, such as
    /// `label`, or if it has a word where all lines below have numbers.
    #[default]
    Auto,
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self::Yes),
            "false" => Ok(Self::No),
            "auto" => Ok(Self::Auto),
            _ => Err(format!("\"{text}\" is none of true, false, \"auto\"")),
        }
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl Visitor<'_> for HeaderVisitor {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"auto\"")
            }

            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Header, E> {
                Ok(if yes { Header::Yes } else { Header::No })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Header, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(HeaderVisitor)
    }
}

impl Serialize for Header {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Yes => serializer.serialize_bool(true),
            Self::No => serializer.serialize_bool(false),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

words! {
    /// The form of a data file.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Format: "format" {
        /// Columns between tabs, one example a line, no quoting: a quotation mark is a character like others.
        Tsv = "tsv",
        /// Columns between commas, with `"` around cells that have commas, quotation marks or line ends.
        Csv = "csv",
        /// One JSON object a line.
        Jsonl = "jsonl",
    }
}

impl Format {
    /// Returns the format that a file's extension stands for: `.tsv`, `.csv`, `.jsonl` or `.ndjson`.
    pub fn from_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "tsv" => Some(Self::Tsv),
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}
