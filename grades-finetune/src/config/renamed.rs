//! Keys that were renamed: the old names work for one release.

use grades::Problems;
use toml::{Table, Value};

use super::tables::own_tables;

/// Renames the keys that had another name before; returns a note for each. A key given under both names is a problem.
pub(super) fn with_new_names(document: &Table, problems: &mut Problems) -> (Table, Vec<String>) {
    let mut document = document.clone();
    let mut notes = Vec::new();
    for info in own_tables() {
        let Some(Value::Table(table)) = document.get_mut(info.name) else { continue };
        for key in &info.keys {
            let Some(old) = key.facts.alias else { continue };
            if table.contains_key(old) && table.contains_key(key.name) {
                let message = format!("is the old name of {}, which is given as well; remove it", key.name);
                problems.push(format!("{}.{old}", info.name), message);
                table.remove(old);
            } else if let Some(value) = table.remove(old) {
                table.insert(key.name.to_owned(), value);
                let (table, new) = (info.name, key.name);
                notes.push(format!(
                    "{table}.{old} is now called {table}.{new}; the old name works for one more release"
                ));
            }
        }
    }
    (document, notes)
}
