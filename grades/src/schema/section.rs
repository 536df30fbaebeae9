//! One table of a configuration file, read key by key.

use std::str::FromStr;

use toml::{Table, Value};

use super::key::Key;
use super::names::{nearest, unknown_name};
use crate::error::{Error, Problems};

/// One table of a configuration file, read key by key.
///
/// Each method reads one key and gives `None` when it cannot be used; the problem is then noted, with the
/// key's full path, what was expected and what was found. Reading goes on, so that a user sees all problems
/// of a file at once. Unknown keys are noted when the section is opened, the nearest known one suggested.
///
/// ```
/// use grades::schema::{Key, Section};
/// use grades::Problems;
///
/// let table: toml::Table = "tau = -1.0\npatiense = 3".parse()?;
/// let mut problems = Problems::default();
/// const KEYS: &[Key] = &[Key::new("tau", "threshold"), Key::new("patience", "checks in a row")];
/// let mut section = Section::new("freezing.policy", &table, KEYS, &mut problems);
/// let tau = section.number("tau", "a number above 0", |tau| tau > 0.0);
/// let patience = section.integer_or("patience", 5, "at least 1", |patience| patience >= 1);
///
/// assert_eq!((tau, patience), (None, Some(5)));
/// assert_eq!(problems.as_slice().len(), 2);
/// assert!(problems.to_string().contains("did you mean \"patience\"?"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    table: &'a Table,
    keys: &'static [Key],
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    /// Opens a table, found at the dotted `path`, and notes the keys that it should not have.
    pub fn new(path: &str, table: &'a Table, keys: &'static [Key], problems: &'a mut Problems) -> Self {
        let known = || keys.iter().map(|key| key.name);
        for name in table.keys().filter(|name| !known().any(|key| key == name.as_str())) {
            let hint = nearest(name, known()).map(|near| format!(" (did you mean \"{near}\"?)"));
            let all =
                if keys.is_empty() { "none".to_owned() } else { known().collect::<Vec<_>>().join(", ") };
            let message = format!("unknown key{}; known: {all}", hint.unwrap_or_default());
            problems.push(join(path, name), message);
        }
        Self { path: path.to_owned(), table, keys, problems }
    }

    /// Returns the dotted path of a key of this section.
    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Notes a problem of a key.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        let path = self.path_of(key);
        self.problems.push(path, message);
    }

    /// Notes that a key names something that does not exist, with the nearest of what does.
    pub fn unknown<'n>(
        &mut self,
        key: &str,
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        self.problem(key, unknown_name(what, name, known).to_string());
    }

    /// Returns whether the key is given.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Returns whether the key is given as a table.
    pub fn is_table(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(Value::is_table)
    }

    /// Reads a number that must be given; an integer is read as one.
    pub fn number(&mut self, key: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Option<f64> {
        let value = self.required(key, expected)?;
        self.fit_number(key, value, expected, fits)
    }

    /// Reads a number, or its default.
    pub fn number_or(
        &mut self,
        key: &str,
        default: f64,
        expected: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        match self.value(key) {
            Some(value) => self.fit_number(key, value, expected, fits),
            None => Some(default),
        }
    }

    /// Reads a whole number of at least 0, or its default.
    pub fn integer_or(
        &mut self,
        key: &str,
        default: u64,
        expected: &str,
        fits: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let Some(value) = self.value(key) else { return Some(default) };
        match value.as_integer().and_then(|number| u64::try_from(number).ok()).filter(|n| fits(*n)) {
            Some(number) => Some(number),
            None => self.wrong(key, value, &format!("a whole number, {expected}")),
        }
    }

    /// Reads `true` or `false`, or its default.
    pub fn flag_or(&mut self, key: &str, default: bool) -> Option<bool> {
        self.value_or(key, default, "true or false", |value| value.as_bool())
    }

    /// Reads a value that `read` understands, or its default.
    pub fn value_or<T>(
        &mut self,
        key: &str,
        default: T,
        expected: &str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.value(key) else { return Some(default) };
        match read(value.clone()) {
            Some(read) => Some(read),
            None => self.wrong(key, value, expected),
        }
    }

    /// Reads a string that must be given.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let value = self.required(key, "a string")?;
        self.fit_text(key, value)
    }

    /// Reads a string, or its default.
    pub fn text_or(&mut self, key: &str, default: &str) -> Option<String> {
        match self.value(key) {
            Some(value) => self.fit_text(key, value),
            None => Some(default.to_owned()),
        }
    }

    /// Reads a list of strings; `None` as well when the key is absent.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let list = value.as_array().map(|list| list.iter().map(|text| text.as_str().map(str::to_owned)));
        match list.and_then(Iterator::collect) {
            Some(texts) => Some(texts),
            None => self.wrong(key, value, "a list of strings"),
        }
    }

    /// Reads a name that must be given, such as a component kind.
    pub fn parsed<T: FromStr<Err = Error>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        self.fit_parsed(key, &text)
    }

    /// Reads a name, or its default.
    pub fn parsed_or<T: FromStr<Err = Error>>(&mut self, key: &str, default: T) -> Option<T> {
        match self.value(key) {
            Some(value) => {
                let text = self.fit_text(key, value)?;
                self.fit_parsed(key, &text)
            }
            None => Some(default),
        }
    }

    /// Reads a table of this one with `read`; `None` when the key is absent or no table.
    pub fn table<T>(
        &mut self,
        key: &str,
        keys: &'static [Key],
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Option<T> {
        let table = self.raw_table(key)?;
        let path = self.path_of(key);
        Some(read(&mut Section::new(&path, table, keys, self.problems)))
    }

    /// Reads each table of a list of tables with `read`.
    pub fn tables(&mut self, key: &str, keys: &'static [Key], mut read: impl FnMut(&mut Section<'_>)) {
        if !self.has(key) {
            return;
        }
        for (index, table) in self.raw_tables(key).unwrap_or_default().into_iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            read(&mut Section::new(&path, table, keys, self.problems));
        }
    }

    /// Reads a required list of tables, unchecked.
    pub(crate) fn raw_tables(&mut self, key: &str) -> Option<Vec<&'a Table>> {
        const EXPECTED: &str = "a list of tables";
        let value = self.required(key, EXPECTED)?;
        let tables = value.as_array().and_then(|list| list.iter().map(Value::as_table).collect());
        match tables {
            Some(tables) => Some(tables),
            None => self.wrong(key, value, EXPECTED),
        }
    }

    /// Returns a table unread, for what is read elsewhere; `None` when the key is absent or no table.
    pub(crate) fn raw_table(&mut self, key: &str) -> Option<&'a Table> {
        let value = self.value(key)?;
        match value.as_table() {
            Some(table) => Some(table),
            None => self.wrong(key, value, "a table"),
        }
    }

    /// Returns the list in which problems are noted.
    pub(crate) fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    fn value(&mut self, key: &str) -> Option<&'a Value> {
        // A key that is read but not declared would be reported to the user as unknown.
        debug_assert!(self.keys.iter().any(|known| known.name == key), "key {key} is not declared");
        self.table.get(key)
    }

    fn required(&mut self, key: &str, expected: &str) -> Option<&'a Value> {
        let value = self.value(key);
        if value.is_none() {
            self.problem(key, format!("is missing; expected {expected}"));
        }
        value
    }

    fn fit_number(
        &mut self,
        key: &str,
        value: &Value,
        expected: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        match number.filter(|number| fits(*number)) {
            Some(number) => Some(number),
            None => self.wrong(key, value, expected),
        }
    }

    fn fit_text(&mut self, key: &str, value: &Value) -> Option<String> {
        match value.as_str() {
            Some(text) => Some(text.to_owned()),
            None => self.wrong(key, value, "a string"),
        }
    }

    fn fit_parsed<T: FromStr<Err = Error>>(&mut self, key: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problem(key, error.to_string());
                None
            }
        }
    }

    fn wrong<T>(&mut self, key: &str, value: &Value, expected: &str) -> Option<T> {
        self.problem(key, format!("expected {expected}, found {value}"));
        None
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
