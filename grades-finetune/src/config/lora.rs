//! The `[lora]` table.

use grades::Problems;
use grades::schema::{DefaultValue, Key, KeyFacts, Section, join_keys};
use grades_lora::{LoraConfig, MergeFrozen};
use toml::{Table, Value};

use super::describe::TableInfo;

/// The adapters that a run trains.
#[derive(Debug, Clone)]
pub struct LoraRun {
    /// Which layers are adapted and how.
    pub config: LoraConfig,
    /// Whether the user has not set which modules are saved whole: a classifier then saves its head.
    pub default_modules: bool,
    /// How adapters that froze are merged into their base; not at all when absent.
    pub merge_frozen: Option<MergeFrozen>,
}

const MERGE_KEY: &str = "merge_frozen";
const MODULES_KEY: &str = "modules_to_save";
const MERGE_VALUES: &str = "false, true or \"always\"";
const MERGE_DEFAULT: Value = Value::Boolean(false);

/// The keys of an adapter, and `merge_frozen`.
const KEYS: &[Key] = &join_keys::<{ LoraConfig::KEYS.len() + 1 }>(
    LoraConfig::KEYS,
    &[Key::described(MERGE_KEY, "merge adapters that froze; \"always\" merges into bf16 as well", || {
        KeyFacts {
            accepts: Some(MERGE_VALUES.to_owned()),
            default: DefaultValue::of(&MERGE_DEFAULT),
            otherwise: None,
            alias: None,
        }
    })],
);

impl LoraRun {
    /// Reads the table.
    pub(super) fn read(table: &Table, problems: &mut Problems) -> Self {
        let mut section = Section::new("lora", table, KEYS, problems);
        let config = LoraConfig::read(&mut section);
        let default_modules = !section.has(MODULES_KEY);
        let merge = |value: Value| match value {
            Value::Boolean(false) => Some(None),
            Value::Boolean(true) => Some(Some(MergeFrozen::new())),
            Value::String(word) if word == "always" => Some(Some(MergeFrozen::new().on_16_bit(true))),
            _ => None,
        };
        let merge_frozen = section.value_or(MERGE_KEY, None, MERGE_VALUES, merge).flatten();
        Self { config, merge_frozen, default_modules }
    }

    /// Returns the table with every key, `merge_frozen` as the user gave it.
    pub(super) fn resolved(&self, given: &Table) -> Table {
        let mut table = self.config.to_table();
        let merge = given.get(MERGE_KEY).cloned().unwrap_or(MERGE_DEFAULT);
        table.insert(MERGE_KEY.to_owned(), merge);
        table
    }

    /// Has adapters save these modules whole where the user has not set any; returns the change to the table.
    pub(super) fn set_default_modules(&mut self, modules: &[&str]) -> Option<(String, Value)> {
        if !self.default_modules {
            return None;
        }
        self.config.modules_to_save = modules.iter().map(|&module| module.to_owned()).collect();
        Some((MODULES_KEY.to_owned(), modules.to_vec().into()))
    }

    /// Describes the table.
    pub(super) fn describe() -> TableInfo {
        let about = "Adapters to train instead of the model; without the table the whole model trains";
        TableInfo::of_keys("lora", about, KEYS).optional()
    }
}
