//! One key of a table: its default, the values it takes, and how it is read.

use std::path::PathBuf;
use std::str::FromStr;

use grades::Error;
use grades::schema::Section;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;

use super::describe::{Default, KeyInfo, MayChange, toml_text};
use super::words::Words;

/// Reads a key of a section; the last argument is the default, absent for a key that must be given.
type Read<T> = Box<dyn Fn(&mut Section<'_>, &str, Option<T>) -> Option<T>>;

/// One key of a table.
pub(super) struct Field<T> {
    read: Read<T>,
    accepts: String,
    default: Option<T>,
    /// The default under a condition, and the condition in words.
    otherwise: Option<(T, &'static str)>,
    note: Option<String>,
    alias: Option<&'static str>,
    may_change: MayChange,
}

impl<T: Clone + Serialize> Field<T> {
    fn new(
        default: Option<T>,
        accepts: impl Into<String>,
        read: impl Fn(&mut Section<'_>, &str, Option<T>) -> Option<T> + 'static,
    ) -> Self {
        let accepts = accepts.into();
        let read = Box::new(read);
        Self { read, accepts, default, otherwise: None, note: None, alias: None, may_change: MayChange::No }
    }

    /// Sets another default for when the table's condition is met.
    pub(super) fn or(mut self, default: T, condition: &'static str) -> Self {
        self.otherwise = Some((default, condition));
        self
    }

    /// Describes the default in words.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Also reads the key under the name that it had before.
    pub(super) fn alias(mut self, name: &'static str) -> Self {
        self.alias = Some(name);
        self
    }

    /// Lets a resumed run have another value.
    pub(super) fn may_change(mut self, may_change: MayChange) -> Self {
        self.may_change = may_change;
        self
    }

    /// Reads the key; `met` says whether the condition of [`or`](Self::or) is met.
    pub(super) fn read(self, section: &mut Section<'_>, key: &str, met: bool) -> Option<T> {
        let default = match self.otherwise {
            Some((other, _)) if met => Some(other),
            _ => self.default,
        };
        (self.read)(section, key, default)
    }

    /// Describes the key.
    pub(super) fn describe(self, name: &'static str, help: &str) -> KeyInfo {
        let default = match (&self.default, self.note) {
            (_, Some(note)) => Default::Note(note),
            (None, None) => Default::Required,
            (Some(value), None) => toml_text(value).map_or(Default::None, Default::Toml),
        };
        let otherwise = self.otherwise.and_then(|(value, condition)| Some((toml_text(&value)?, condition)));
        KeyInfo {
            name: name.to_owned(),
            help: help.trim().trim_end_matches('.').to_owned(),
            accepts: Some(self.accepts),
            default,
            otherwise,
            alias: self.alias,
            may_change: self.may_change,
        }
    }
}

/// The numbers that a key takes.
#[derive(Clone, Copy)]
pub(super) struct Range {
    expected: &'static str,
    fits: fn(f64) -> bool,
}

pub(super) const ABOVE_ZERO: Range =
    Range { expected: "a number above 0", fits: |number| number > 0.0 && number.is_finite() };
pub(super) const AT_LEAST_ZERO: Range =
    Range { expected: "a number of at least 0", fits: |number| number >= 0.0 && number.is_finite() };
pub(super) const BELOW_ONE: Range =
    Range { expected: "a number from 0 to below 1", fits: |number| (0.0..1.0).contains(&number) };
pub(super) const SHARE: Range =
    Range { expected: "a share from 0 to 1", fits: |number| (0.0..=1.0).contains(&number) };
pub(super) const SHARE_ABOVE_ZERO: Range =
    Range { expected: "a share above 0, up to 1", fits: |number| number > 0.0 && number <= 1.0 };
pub(super) const ZERO_OR_ABOVE_ONE: Range = Range {
    expected: "0, or a number above 1",
    fits: |number| number == 0.0 || (number > 1.0 && number.is_finite()),
};

/// A number.
pub(super) fn number(default: f64, range: Range) -> Field<f64> {
    Field::new(Some(default), range.expected, move |section, key, default| match default {
        Some(default) => section.number_or(key, default, range.expected, range.fits),
        None => section.number(key, range.expected, range.fits),
    })
}

/// A number that may be left out.
pub(super) fn optional_number(range: Range) -> Field<Option<f64>> {
    Field::new(Some(None), range.expected, move |section, key, _| {
        if section.has(key) { section.number(key, range.expected, range.fits).map(Some) } else { Some(None) }
    })
}

/// A whole number of at least `least`.
pub(super) fn count<T>(default: T, least: u64) -> Field<T>
where
    T: Copy + Serialize + TryFrom<u64> + TryInto<u64> + 'static,
{
    let expected = format!("at least {least}");
    Field::new(Some(default), format!("a whole number, {expected}"), move |section, key, default| {
        let default = default.and_then(|default| default.try_into().ok()).unwrap_or(least);
        section.integer_or(key, default, &expected, |number| number >= least)?.try_into().ok()
    })
}

/// A whole number of at least 1 that may be left out.
pub(super) fn optional_count<T>() -> Field<Option<T>>
where
    T: Copy + Serialize + TryFrom<u64> + 'static,
{
    Field::new(Some(None), "a whole number, at least 1", |section, key, _| {
        if !section.has(key) {
            return Some(None);
        }
        section.integer_or(key, 1, "at least 1", |number| number >= 1)?.try_into().ok().map(Some)
    })
}

/// `true` or `false`.
pub(super) fn flag(default: bool) -> Field<bool> {
    Field::new(Some(default), "true or false", |section, key, default| {
        section.flag_or(key, default.unwrap_or_default())
    })
}

/// One of a few words.
pub(super) fn word<T>(default: T) -> Field<T>
where
    T: Clone + Serialize + Words + FromStr<Err = Error>,
{
    parsed(default, T::choices())
}

/// A word that is parsed.
pub(super) fn parsed<T>(default: T, choices: impl Into<String>) -> Field<T>
where
    T: Clone + Serialize + FromStr<Err = Error> + 'static,
{
    Field::new(Some(default), choices, |section, key, default| match default {
        Some(default) => section.parsed_or(key, default),
        None => section.parsed(key),
    })
}

/// A text.
pub(super) fn text(default: impl Into<String>) -> Field<String> {
    Field::new(Some(default.into()), "a string", |section, key, default| {
        section.text_or(key, &default.unwrap_or_default())
    })
}

/// A text that may be left out.
pub(super) fn optional_text() -> Field<Option<String>> {
    Field::new(Some(None), "a string", |section, key, _| optional(section, key, |text| text))
}

/// A path.
pub(super) fn path(default: &str) -> Field<PathBuf> {
    Field::new(Some(PathBuf::from(default)), "a path", |section, key, default| match default {
        Some(default) if !section.has(key) => Some(default),
        _ => section.text(key).map(PathBuf::from),
    })
}

/// A path that must be given; `option` is the command line's way to give it.
pub(super) fn required_path(option: &'static str) -> Field<PathBuf> {
    Field::new(None, "a path", move |section, key, _| {
        if section.has(key) {
            return section.text(key).map(PathBuf::from);
        }
        section.problem(key, format!("is missing; expected a string: give the key or {option}"));
        None
    })
}

/// A path that may be left out.
pub(super) fn optional_path() -> Field<Option<PathBuf>> {
    Field::new(Some(None), "a path", |section, key, _| optional(section, key, PathBuf::from))
}

/// A value that is deserialized.
pub(super) fn value<T>(default: T, accepts: &'static str) -> Field<T>
where
    T: Clone + Serialize + DeserializeOwned + 'static,
{
    custom(default, accepts, |value| value.clone().try_into().ok())
}

/// A value that is deserialized and may be left out.
pub(super) fn optional_value<T>(accepts: &'static str) -> Field<Option<T>>
where
    T: Clone + Serialize + DeserializeOwned + 'static,
{
    custom(None, accepts, |value| value.clone().try_into().ok().map(Some))
}

/// A value of a form of its own.
pub(super) fn custom<T>(default: T, accepts: &'static str, read: fn(&Value) -> Option<T>) -> Field<T>
where
    T: Clone + Serialize + 'static,
{
    Field::new(Some(default), accepts, move |section, key, default| {
        section.value_or(key, default?, accepts, |value| read(&value))
    })
}

fn optional<T>(section: &mut Section<'_>, key: &str, read: impl Fn(String) -> T) -> Option<Option<T>> {
    if section.has(key) { section.text(key).map(|text| Some(read(text))) } else { Some(None) }
}
