//! The `[lora]` table of a run.

use grades::schema::Section;
use grades_lora::{LoraConfig, MergeFrozen};
use toml::{Table, Value};

use super::run::RunConfig;

/// The adapters that a run trains.
#[derive(Debug, Clone)]
pub struct LoraRun {
    /// Which layers are adapted and how.
    pub config: LoraConfig,
    /// Whether the user left it open which modules are saved whole: a classifier then saves its head.
    pub default_modules: bool,
    /// How adapters that froze are merged into their base; not at all when absent.
    pub merge_frozen: Option<MergeFrozen>,
}

const MERGE_KEY: &str = "merge_frozen";
const MODULES_KEY: &str = "modules_to_save";

/// Reads the table.
pub(super) fn read_lora(section: &mut Section<'_>) -> LoraRun {
    let config = LoraConfig::read(section);
    let default_modules = !section.has(MODULES_KEY);
    let merge = |value: Value| match value {
        Value::Boolean(false) => Some(None),
        Value::Boolean(true) => Some(Some(MergeFrozen::new())),
        Value::String(word) if word == "always" => Some(Some(MergeFrozen::new().on_16_bit(true))),
        _ => None,
    };
    let merge_frozen = section.value_or(MERGE_KEY, None, "false, true or \"always\"", merge).flatten();
    LoraRun { config, merge_frozen, default_modules }
}

impl RunConfig {
    /// Has adapters save these modules whole where the user has left that open, in the table that is written as well.
    pub(crate) fn default_modules(&mut self, modules: &[&str]) {
        let Some(lora) = self.lora.as_mut().filter(|lora| lora.default_modules) else { return };
        lora.config.modules_to_save = modules.iter().map(|&module| module.to_owned()).collect();
        if let Some(table) = &mut self.lora_table {
            table.insert(MODULES_KEY.to_owned(), modules.to_vec().into());
        }
    }
}

/// The table with every key spelt out, as `merge_frozen` was given.
pub(super) fn resolved(given: &Table, lora: &LoraRun) -> Table {
    let mut table = lora.config.to_table();
    let merge = given.get(MERGE_KEY).cloned().unwrap_or(Value::Boolean(false));
    table.insert(MERGE_KEY.to_owned(), merge);
    table
}
