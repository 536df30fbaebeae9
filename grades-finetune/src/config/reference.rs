//! The reference of all keys, as commented TOML and as Markdown.

use std::fmt::Write;

use grades::Result;
use grades::schema::DefaultValue;

use super::describe::{KeyInfo, TableInfo};
use super::tables::{all_tables, policies};

/// Writes a TOML document with every table and key: its meaning, its values and its default.
///
/// Keys are commented out where they have a default; tables that switch something on are, too.
///
/// # Errors
///
/// When the registry of policies contradicts itself.
pub fn toml() -> Result<String> {
    let mut text = String::from(
        "# All keys of a configuration. A key that is commented out shows its default.\n\
         # The policies and their keys: finetune policies\n",
    );
    for table in all_tables() {
        let mark = if table.optional { "# " } else { "" };
        let _ = write!(text, "\n# {}.\n{mark}[{}]\n", table.about, table.name);
        for key in &table.keys {
            let _ = writeln!(text, "# {}", comment(key));
            let _ = match (&key.facts.default, table.optional) {
                (DefaultValue::Required, _) => writeln!(text, "{mark}{} = \"\"", key.name),
                (DefaultValue::Toml(value), _) => writeln!(text, "# {} = {value}", key.name),
                (DefaultValue::None | DefaultValue::Note(_), _) => writeln!(text, "# {} =", key.name),
            };
        }
    }
    Ok(text)
}

/// Describes a key on one line: its meaning, and in brackets its values and what else its default is.
fn comment(key: &KeyInfo) -> String {
    let mut details: Vec<String> = key.facts.accepts.iter().cloned().collect();
    match (&key.facts.default, &key.facts.otherwise) {
        (DefaultValue::Note(note), _) => details.push(format!("default: {note}")),
        (DefaultValue::Required, _) => details.push("required".to_owned()),
        (_, Some((value, condition))) => details.push(format!("{value} {condition}")),
        _ => {}
    }
    if details.is_empty() { key.help.clone() } else { format!("{} ({})", key.help, details.join("; ")) }
}

/// Writes the reference as a Markdown page.
///
/// # Errors
///
/// When the registry of policies contradicts itself.
pub fn markdown() -> Result<String> {
    let mut text = String::from(
        "# Configuration\n\n\
         `finetune train --config FILE` reads a TOML file. Every key can also be set with `--set TABLE.KEY=VALUE`, and the most\n\
         used ones have options of their own (`finetune train --help`). `finetune config` prints this list as commented TOML.\n\
         A run's folder has the configuration in force, with all defaults, as `config.toml`.\n\n\
         <!-- Generated: finetune config --markdown > docs/configuration.md -->\n",
    );
    for table in all_tables() {
        let _ = write!(text, "\n## `[{}]`\n\n{}.\n\n", table.name, table.about);
        rows(&mut text, &table);
    }
    text += "\n## Policies\n\n\
             The table `[freezing.policy]` names one of these as `name` and has its keys.\n";
    for policy in policies()? {
        let _ = write!(text, "\n### `{}`\n\n{}.\n\n", policy.name, policy.about.trim_end_matches('.'));
        rows(&mut text, &policy);
    }
    let renamed: Vec<(&str, KeyInfo)> = all_tables()
        .into_iter()
        .flat_map(|table| table.keys.into_iter().map(move |key| (table.name, key)))
        .filter(|(_, key)| key.facts.alias.is_some())
        .collect();
    text += "\n## Renamed keys\n\nThe old names work for one more release, with a warning.\n\n| before | now |\n|---|---|\n";
    for (table, key) in renamed {
        let _ =
            writeln!(text, "| `{table}.{}` | `{table}.{}` |", key.facts.alias.unwrap_or_default(), key.name);
    }
    Ok(text)
}

fn rows(text: &mut String, table: &TableInfo) {
    if table.keys.is_empty() {
        *text += "It has no keys.\n";
        return;
    }
    *text += "| key | meaning | values | default |\n|---|---|---|---|\n";
    for key in &table.keys {
        let default = match &key.facts.default {
            DefaultValue::Toml(value) => format!("`{value}`"),
            _ => key.default_text(),
        };
        let default = match &key.facts.otherwise {
            Some((value, condition)) if matches!(key.facts.default, DefaultValue::Toml(_)) => {
                format!("{default}; `{value}` {condition}")
            }
            _ => default,
        };
        let accepts = key.facts.accepts.as_deref().unwrap_or_default();
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            key.name,
            cell(&key.help),
            cell(accepts),
            cell(&default)
        );
    }
}
