//! Words that choose one of a few values.

use grades::Error;

/// A type whose values are written as words.
pub(super) trait Words: Sized + 'static {
    /// Every word with its value.
    const WORDS: &'static [(&'static str, Self)];

    /// Lists the words as a sentence does: `a, b or c`.
    fn choices() -> String {
        let words: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        match words.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            all => all.join(""),
        }
    }
}

/// Returns the error for a word that is none of the known ones.
pub(super) fn unknown(what: &'static str, name: &str, known: &str) -> Error {
    let nearest = grades::schema::nearest(name, known.split(", ")).map(str::to_owned);
    Error::Unknown { what, name: name.to_owned(), nearest, known: known.to_owned() }
}

/// Gives a type its words: [`Words`] and `FromStr`.
macro_rules! words {
    ($kind:ty, $what:literal, $($word:literal => $variant:expr),+ $(,)?) => {
        impl $crate::config::words::Words for $kind {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $variant)),+];
        }

        impl std::str::FromStr for $kind {
            type Err = grades::Error;

            fn from_str(word: &str) -> Result<Self, grades::Error> {
                match word {
                    $($word => Ok($variant),)+
                    _ => Err($crate::config::words::unknown($what, word, &[$($word),+].join(", "))),
                }
            }
        }
    };
}
pub(super) use words;
