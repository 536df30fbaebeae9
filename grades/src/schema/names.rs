//! Names that nothing answers to, and what was probably meant.

use crate::error::Error;

/// Returns the known name that is closest to `name`, if one is close enough to be what was meant.
///
/// ```
/// assert_eq!(grades::schema::nearest("patiense", ["patience", "tau"]), Some("patience"));
/// assert_eq!(grades::schema::nearest("colour", ["patience", "tau"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Half of the letters wrong is another word; a swap or a doubled letter is a slip.
    let allowed = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}

/// Returns the error for a name that is none of the known ones, with the closest of them.
pub fn unknown_name<'a>(noun: &'static str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
    let known: Vec<_> = known.into_iter().collect();
    Error::Unknown {
        what: noun,
        name: name.to_owned(),
        nearest: nearest(name, known.iter().copied()).map(str::to_owned),
        known: known.join(", "),
    }
}
