//! The numbers of the labels.

use std::collections::HashMap;

use super::error::{Error, Result};
use super::record::{Record, Records};

/// The labels of a task, in a fixed order; a label's position is its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    ids: HashMap<String, i64>,
}

impl Labels {
    /// Finds the labels that occur in the training data: by value if all are whole numbers, else by their letters.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when there is only one.
    pub fn from_records(records: &Records) -> Result<Self> {
        let mut names: Vec<&str> = records.list.iter().map(|record| record.label.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if let [only] = names[..] {
            let message = format!("every example has the label \"{only}\"; a classifier needs at least two");
            return Err(Error::file(&records.path, message));
        }
        if names.iter().all(|name| name.parse::<i64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
            let same = names.windows(2).find(|pair| match pair {
                [one, other] => one.parse::<i64>() == other.parse::<i64>(),
                _ => false,
            });
            if let Some([one, other]) = same {
                let message =
                    format!("the labels \"{one}\" and \"{other}\" are the same number; write one of them");
                return Err(Error::file(&records.path, message));
            }
        }
        Self::from_names(names.into_iter().map(str::to_owned).collect())
    }

    /// Creates the labels of a model, in the order of their ids.
    ///
    /// If all names are Hugging Face's default `LABEL_0`, `LABEL_1`, …, data may also say `0`, `1`, ….
    ///
    /// # Errors
    ///
    /// [`Error::Input`] when a name occurs twice or there is none.
    pub fn from_names(names: Vec<String>) -> Result<Self> {
        if names.is_empty() {
            return Err(Error::Input("the list of labels is empty".into()));
        }
        let mut ids = HashMap::new();
        for (id, name) in (0..).zip(&names) {
            if ids.insert(name.clone(), id).is_some() {
                return Err(Error::Input(format!("the label \"{name}\" occurs twice in {names:?}")));
            }
        }
        if (0..).zip(&names).all(|(id, name): (i64, _)| *name == format!("LABEL_{id}")) {
            ids.extend((0..).zip(&names).map(|(id, _): (i64, _)| (id.to_string(), id)));
        }
        Ok(Self { names, ids })
    }

    /// Returns the names in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the number of labels.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns false: there is at least one label.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the id of a label's word or number.
    pub fn id(&self, label: &str) -> Option<i64> {
        self.ids.get(label).copied()
    }

    /// Returns the id of an example's label.
    pub(super) fn of(&self, records: &Records, record: &Record) -> Result<i64> {
        self.id(&record.label).ok_or_else(|| {
            // A header is no example, and nothing in the data says that it is one.
            let first = records.list.first().is_some_and(|first| first.line == record.line);
            let alone = records.list.iter().filter(|other| other.label == record.label).count() == 1;
            let hint =
                if first && alone && !records.header && records.columns.is_some() && records.list.len() > 1 {
                    "; if the line names the columns, say data.header = true"
                } else {
                    ""
                };
            let message = format!(
                "unknown label \"{}\"; the known labels are {}{hint}",
                record.label,
                self.names.join(", ")
            );
            Error::line(&records.path, record.line, message)
        })
    }
}
