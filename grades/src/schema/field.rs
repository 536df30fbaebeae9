//! The values of a key in a `table!`: the default, what is accepted, and how it is read.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;

use super::key::{DefaultValue, KeyFacts};
use super::{Section, Words};
use crate::error::Error;

/// The values of a key: a [`Field`] or a [`Required`] one.
pub trait KeyField<T>: Sized {
    /// Reads the key; `condition` says whether that of [`Field::or`] is met.
    fn read(self, section: &mut Section<'_>, key: &str, condition: bool) -> Option<T>;

    /// Returns the problem of a value that reading would refuse.
    fn check(&self, value: &T) -> Option<String>;

    /// Describes the values.
    fn facts(&self) -> KeyFacts;
}

type Read<T> = Box<dyn Fn(&mut Section<'_>, &str, T) -> Option<T>>;
type ReadRequired<T> = Box<dyn Fn(&mut Section<'_>, &str) -> Option<T>>;
type Check<T> = Box<dyn Fn(&T) -> Option<String>>;

/// The values of a key that may be left out.
pub struct Field<T> {
    accepts: String,
    default: T,
    read: Read<T>,
    check: Check<T>,
    otherwise: Option<(T, &'static str)>,
    note: Option<String>,
    alias: Option<&'static str>,
}

impl<T> Field<T> {
    /// Creates a field with a default, the accepted values in words, and a function that reads the key of an open section.
    pub fn new(
        default: T,
        accepts: impl Into<String>,
        read: impl Fn(&mut Section<'_>, &str, T) -> Option<T> + 'static,
    ) -> Self {
        Self {
            accepts: accepts.into(),
            default,
            read: Box::new(read),
            check: Box::new(|_| None),
            otherwise: None,
            note: None,
            alias: None,
        }
    }

    /// Refuses values of tables that are made in code; `check` returns the problem.
    #[must_use]
    pub fn checked(mut self, check: impl Fn(&T) -> Option<String> + 'static) -> Self {
        self.check = Box::new(check);
        self
    }

    /// Sets another default for when the table's condition, given in words, is met.
    #[must_use]
    pub fn or(mut self, default: T, condition: &'static str) -> Self {
        self.otherwise = Some((default, condition));
        self
    }

    /// Describes the default in words.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Sets the name that the key had before. Whoever reads the file renames it.
    #[must_use]
    pub fn alias(mut self, name: &'static str) -> Self {
        self.alias = Some(name);
        self
    }

    /// Returns the default.
    pub fn into_default(self) -> T {
        self.default
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field").field("accepts", &self.accepts).finish_non_exhaustive()
    }
}

impl<T: Serialize> KeyField<T> for Field<T> {
    fn read(self, section: &mut Section<'_>, key: &str, condition: bool) -> Option<T> {
        let default = match self.otherwise {
            Some((other, _)) if condition => other,
            _ => self.default,
        };
        (self.read)(section, key, default)
    }

    fn check(&self, value: &T) -> Option<String> {
        (self.check)(value)
    }

    fn facts(&self) -> KeyFacts {
        let default = match &self.note {
            Some(note) => DefaultValue::Note(note.clone()),
            None => DefaultValue::of(&self.default),
        };
        let otherwise =
            self.otherwise.as_ref().and_then(|(value, condition)| match DefaultValue::of(value) {
                DefaultValue::Toml(text) => Some((text, *condition)),
                _ => None,
            });
        KeyFacts { accepts: Some(self.accepts.clone()), default, otherwise, alias: self.alias }
    }
}

/// The values of a key that must be given.
pub struct Required<T> {
    accepts: String,
    read: ReadRequired<T>,
}

impl<T> fmt::Debug for Required<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Required").field("accepts", &self.accepts).finish_non_exhaustive()
    }
}

impl<T> KeyField<T> for Required<T> {
    fn read(self, section: &mut Section<'_>, key: &str, _condition: bool) -> Option<T> {
        (self.read)(section, key)
    }

    fn check(&self, _value: &T) -> Option<String> {
        None
    }

    fn facts(&self) -> KeyFacts {
        let default = DefaultValue::Required;
        KeyFacts { accepts: Some(self.accepts.clone()), default, otherwise: None, alias: None }
    }
}

/// The numbers that a key accepts.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    expected: &'static str,
    fits: fn(f64) -> bool,
}

/// The numbers above 0.
pub const ABOVE_ZERO: Range = Range::new("a number above 0", |number| number > 0.0 && number.is_finite());
/// The numbers of at least 0.
pub const AT_LEAST_ZERO: Range =
    Range::new("a number of at least 0", |number| number >= 0.0 && number.is_finite());
/// The numbers from 0 to below 1.
pub const BELOW_ONE: Range = Range::new("a number from 0 to below 1", |number| (0.0..1.0).contains(&number));
/// The numbers from 0 to 1.
pub const SHARE: Range = Range::new("a share from 0 to 1", |number| (0.0..=1.0).contains(&number));
/// The numbers above 0, up to 1.
pub const SHARE_ABOVE_ZERO: Range =
    Range::new("a share above 0, up to 1", |number| number > 0.0 && number <= 1.0);

impl Range {
    /// Creates a range, in words and as a function.
    pub const fn new(expected: &'static str, fits: fn(f64) -> bool) -> Self {
        Self { expected, fits }
    }
}

fn refusal(expected: &str, found: impl Display) -> Option<String> {
    Some(format!("expected {expected}, found {found}"))
}

/// Describes a number.
pub fn number(default: f64, range: Range) -> Field<f64> {
    let Range { expected, fits } = range;
    Field::new(default, expected, move |section, key, default| {
        section.number_or(key, default, expected, fits)
    })
    .checked(move |number| if fits(*number) { None } else { refusal(expected, number) })
}

/// Describes a number that must be given.
pub fn required_number(range: Range) -> Required<f64> {
    let Range { expected, fits } = range;
    let read = move |section: &mut Section<'_>, key: &str| section.number(key, expected, fits);
    Required { accepts: expected.to_owned(), read: Box::new(read) }
}

/// Describes a number that may be left out.
pub fn optional_number(range: Range) -> Field<Option<f64>> {
    let Range { expected, fits } = range;
    Field::new(None, expected, move |section, key, default| {
        if section.has(key) { section.number(key, expected, fits).map(Some) } else { Some(default) }
    })
}

/// Describes a whole number of at least `least`.
pub fn count<T>(default: T, least: u64) -> Field<T>
where
    T: Copy + Display + Serialize + TryFrom<u64> + TryInto<u64> + 'static,
{
    let expected = format!("at least {least}");
    let accepts = format!("a whole number, {expected}");
    let refused = expected.clone();
    Field::new(default, accepts, move |section, key, default| {
        let default = default.try_into().unwrap_or(least);
        section.integer_or(key, default, &expected, |number| number >= least)?.try_into().ok()
    })
    .checked(move |number| match (*number).try_into() {
        Ok(number) if number < least => refusal(&refused, number),
        _ => None,
    })
}

/// Describes a whole number of at least 1 that may be left out.
pub fn optional_count<T>() -> Field<Option<T>>
where
    T: Copy + Serialize + TryFrom<u64> + 'static,
{
    Field::new(None, "a whole number, at least 1", |section, key, default| {
        if !section.has(key) {
            return Some(default);
        }
        section.integer_or(key, 1, "at least 1", |number| number >= 1)?.try_into().ok().map(Some)
    })
}

/// Describes a `true` or `false`.
pub fn flag(default: bool) -> Field<bool> {
    Field::new(default, "true or false", |section, key, default| section.flag_or(key, default))
}

/// Describes one of a few words.
pub fn word<T>(default: T) -> Field<T>
where
    T: Serialize + Words + FromStr<Err = Error>,
{
    parsed(default, T::choices())
}

/// Describes one of a few words, which may be left out.
pub fn optional_word<T>() -> Field<Option<T>>
where
    T: Serialize + Words + FromStr<Err = Error>,
{
    Field::new(None, T::choices(), |section, key, default| {
        if section.has(key) { section.parsed(key).map(Some) } else { Some(default) }
    })
}

/// Describes a word that is parsed.
pub fn parsed<T>(default: T, choices: impl Into<String>) -> Field<T>
where
    T: Serialize + FromStr<Err = Error> + 'static,
{
    Field::new(default, choices, |section, key, default| section.parsed_or(key, default))
}

/// Describes a text.
pub fn text(default: impl Into<String>) -> Field<String> {
    Field::new(default.into(), "a string", |section, key, default| section.text_or(key, &default))
}

/// Describes a text that may be left out.
pub fn optional_text() -> Field<Option<String>> {
    Field::new(None, "a string", |section, key, default| optional(section, key, default, |text| text))
}

/// Describes a path.
pub fn path(default: &str) -> Field<PathBuf> {
    Field::new(PathBuf::from(default), "a path", |section, key, default| {
        if section.has(key) { section.text(key).map(PathBuf::from) } else { Some(default) }
    })
}

/// Describes a path that must be given; `option` is the command line's way to give it.
pub fn required_path(option: &'static str) -> Required<PathBuf> {
    let read = move |section: &mut Section<'_>, key: &str| {
        if section.has(key) {
            return section.text(key).map(PathBuf::from);
        }
        section.problem(key, format!("is missing; expected a string: give the key or {option}"));
        None
    };
    Required { accepts: "a path".to_owned(), read: Box::new(read) }
}

/// Describes a path that may be left out.
pub fn optional_path() -> Field<Option<PathBuf>> {
    Field::new(None, "a path", |section, key, default| optional(section, key, default, PathBuf::from))
}

/// Describes a value that is deserialized.
pub fn value<T>(default: T, accepts: impl Into<String>) -> Field<T>
where
    T: Serialize + DeserializeOwned + 'static,
{
    custom(default, accepts, |value| value.clone().try_into().ok())
}

/// Describes a value that is deserialized and may be left out.
pub fn optional_value<T>(accepts: impl Into<String>) -> Field<Option<T>>
where
    T: Serialize + DeserializeOwned + 'static,
{
    custom(None, accepts, |value| value.clone().try_into().ok().map(Some))
}

/// Describes a value of a form of its own.
pub fn custom<T>(default: T, accepts: impl Into<String>, read: fn(&Value) -> Option<T>) -> Field<T>
where
    T: Serialize + 'static,
{
    let accepts = accepts.into();
    let expected = accepts.clone();
    Field::new(default, accepts, move |section, key, default| {
        section.value_or(key, default, &expected, |value| read(&value))
    })
}

fn optional<T>(
    section: &mut Section<'_>,
    key: &str,
    default: Option<T>,
    read: impl Fn(String) -> T,
) -> Option<Option<T>> {
    if section.has(key) { section.text(key).map(|text| Some(read(text))) } else { Some(default) }
}
