//! Enums whose values are written as words.

use super::names::unknown_name;
use crate::error::Error;

/// An enum whose values are written as words, made by `words!`.
pub trait Words: Copy + 'static {
    /// The noun for it in error messages, such as "statistic".
    const NOUN: &'static str;
    /// Every value with its word, in the order in which messages list them.
    const WORDS: &'static [(Self, &'static str)];

    /// Returns the words.
    fn words() -> impl Iterator<Item = &'static str> {
        Self::WORDS.iter().map(|(_, word)| *word)
    }

    /// Returns the value that a word stands for.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
    }

    /// Returns the value that a word stands for.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] with all words.
    fn parse_word(word: &str) -> Result<Self, Error> {
        Self::from_word(word).ok_or_else(|| unknown_name(Self::NOUN, word, Self::words()))
    }

    /// Lists the words as a sentence does: `a, b or c`.
    fn choices() -> String {
        let words: Vec<&str> = Self::words().collect();
        match words.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            all => all.join(""),
        }
    }
}

/// Defines an enum whose values are written as words: in files, on the command line and in reports.
///
/// After the name stands the noun for it in error messages. The enum gets `ALL`, `name`, [`Words`],
/// `Display`, `FromStr`, `Serialize` and `Deserialize`.
///
/// ```
/// use grades::schema::words;
///
/// words! {
///     /// The course of a learning rate.
///     #[derive(Debug, Clone, Copy, PartialEq, Eq)]
///     pub enum Course: "course" {
///         /// It stays.
///         Constant = "constant",
///         /// It falls to 0 in a straight line.
///         Linear = "linear",
///     }
/// }
///
/// assert_eq!("linear".parse::<Course>()?, Course::Linear);
/// assert_eq!(Course::Constant.to_string(), "constant");
/// let error = "liner".parse::<Course>().unwrap_err().to_string();
/// assert_eq!(error, "unknown course \"liner\" (did you mean \"linear\"?); known: constant, linear");
/// # Ok::<(), grades::Error>(())
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __words {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident: $noun:literal {
            $( $(#[$about:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$attribute])*
        $visibility enum $name {
            $( $(#[$about])* $variant, )+
        }

        #[allow(dead_code, reason = "a private enum may use one and not the other")]
        impl $name {
            /// All values, in the order in which messages and reports list them.
            $visibility const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// Returns the word that files and messages have for it.
            $visibility const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $crate::schema::Words for $name {
            const NOUN: &'static str = $noun;
            const WORDS: &'static [(Self, &'static str)] = &[$((Self::$variant, $word)),+];
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(word: &str) -> ::std::result::Result<Self, $crate::Error> {
                $crate::schema::Words::parse_word(word)
            }
        }

        impl $crate::__private::serde::Serialize for $name {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let word = <::std::string::String as $crate::__private::serde::Deserialize>::deserialize(deserializer)?;
                $crate::schema::Words::parse_word(&word).map_err($crate::__private::serde::de::Error::custom)
            }
        }
    };
}
#[doc(inline)]
pub use crate::__words as words;
