//! The TOML document of a run: a file, and the changes of the command line.

use std::path::Path;

use anyhow::{Context, Result, bail};
use grades::Problems;
use toml::{Table, Value};

use super::renamed::with_new_names;

/// A TOML document, and the changes made to it.
///
/// ```
/// use grades_finetune::config::Document;
///
/// let mut document = Document::parse("[training]\nepochs = 3")?;
/// document.set("training.epochs=1")?;
/// document.set("model.path=models/mine")?; // what is no TOML value is taken as a string
/// assert_eq!(document.table()["training"]["epochs"].as_integer(), Some(1));
/// assert_eq!(document.table()["model"]["path"].as_str(), Some("models/mine"));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Document {
    table: Table,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not TOML; the message has the file, the line and the column.
    pub fn read(path: &Path) -> Result<Self> {
        let text = grades_lora::read_regular_text(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not TOML", path.display()))
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// When it is not TOML.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(Self { table: text.parse()? })
    }

    /// Sets a key, given as `dotted.path=value`; tables on the way are made.
    ///
    /// # Errors
    ///
    /// When there is no `=`, a part of the path is empty, or the path leads through a value that is no table.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let Some((path, value)) = assignment.split_once('=') else {
            bail!("--set {assignment}: expected KEY=VALUE, such as training.epochs=1");
        };
        self.put(path.trim(), parse_value(value.trim()))
    }

    /// Sets a key to a value.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn put(&mut self, path: &str, value: impl Into<Value>) -> Result<()> {
        let mut parts: Vec<&str> = path.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        if last.is_empty() || parts.iter().any(|part| part.is_empty()) {
            bail!("\"{path}\" is no key: a part of it is empty");
        }
        let mut table = &mut self.table;
        for (depth, part) in parts.iter().enumerate() {
            let entry = table.entry(*part).or_insert_with(|| Value::Table(Table::new()));
            let Some(inner) = entry.as_table_mut() else {
                bail!("\"{path}\" cannot be set: {} is a value, not a table", parts[..=depth].join("."));
            };
            table = inner;
        }
        table.insert(last.to_owned(), value.into());
        Ok(())
    }

    /// Removes a top-level table.
    pub fn remove(&mut self, key: &str) {
        self.table.remove(key);
    }

    /// Removes a key of a top-level table.
    pub fn take(&mut self, table: &str, key: &str) {
        if let Some(Value::Table(table)) = self.table.get_mut(table) {
            table.remove(key);
        }
    }

    /// Gives keys of the release before their new names; returns a note for each.
    pub fn rename_old_keys(&mut self) -> Vec<String> {
        let mut problems = Problems::default();
        let (table, notes) = with_new_names(&self.table, &mut problems);
        // A key that is given twice stays, for the reader of the tables to refuse.
        if !problems.is_empty() {
            return Vec::new();
        }
        self.table = table;
        notes
    }

    /// Returns the document.
    pub fn table(&self) -> &Table {
        &self.table
    }
}

impl From<Table> for Document {
    fn from(table: Table) -> Self {
        Self { table }
    }
}

/// Reads a TOML value; what is none is a string, so that paths and words need no quotes in a shell.
fn parse_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    // Several keys would mean that the text held a line end and more assignments.
    let value = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}
