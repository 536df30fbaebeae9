//! The list of all tables.

use grades::FreezingConfig;
use grades::Result;
use grades::policy::PolicyRegistry;
use toml::Table;

use super::cache::CacheConfig;
use super::checkpoint::CheckpointConfig;
use super::compare::CompareConfig;
use super::data::DataConfig;
use super::describe::{KeyInfo, MayChange, TableInfo};
use super::early_stopping::EarlyStoppingConfig;
use super::evaluation::EvaluationConfig;
use super::guard::GuardConfig;
use super::lora::LoraRun;
use super::model::ModelConfig;
use super::optimizer::OptimizerConfig;
use super::output::OutputConfig;
use super::schedule::ScheduleConfig;
use super::table::ConfigTable;
use super::training::TrainingConfig;

/// Lists the tables that this crate reads key by key.
pub(super) fn own_tables() -> Vec<TableInfo> {
    vec![
        ModelConfig::describe(),
        DataConfig::describe(),
        TrainingConfig::describe(),
        OptimizerConfig::describe(),
        ScheduleConfig::describe(),
        EvaluationConfig::describe().may_change(),
        OutputConfig::describe().may_change(),
        CheckpointConfig::describe().may_change(),
        GuardConfig::describe().may_change(),
        EarlyStoppingConfig::describe().optional(),
        CompareConfig::describe().may_change().optional(),
    ]
}

/// Lists all tables, those of the libraries as well.
///
/// # Errors
///
/// When the registry of policies contradicts itself.
pub(crate) fn all_tables() -> Result<Vec<TableInfo>> {
    let mut tables = own_tables();
    let default = FreezingConfig::from_table("freezing", &Table::new())?.settings();
    let about = "What freezes when; without the table nothing does";
    tables.push(TableInfo::of_keys("freezing", about, FreezingConfig::KEYS, &default));
    tables.push(CacheConfig::describe().optional());
    tables.push(LoraRun::describe());
    Ok(tables)
}

/// Lists the linked policies, each with its keys.
///
/// # Errors
///
/// When the registry of policies contradicts itself.
pub(crate) fn policies() -> Result<Vec<TableInfo>> {
    let registry = PolicyRegistry::linked()?;
    let none = Table::new();
    Ok(registry
        .plugins()
        .map(|plugin| TableInfo::of_keys(plugin.name(), plugin.summary(), plugin.keys(), &none))
        .collect())
}

/// Finds a key by its dotted name.
pub(crate) fn key_info(path: &str) -> Option<KeyInfo> {
    let (table, key) = path.split_once('.')?;
    let mut tables = own_tables();
    tables.push(LoraRun::describe());
    let table = tables.into_iter().find(|info| info.name == table)?;
    table.keys.into_iter().find(|info| info.name == key)
}

/// Returns whether a key may differ when a run is resumed: it does not change what is trained. Files are compared by
/// their contents.
pub(crate) fn may_change(path: &str, early_stopping: bool) -> bool {
    match key_info(path).map(|info| info.may_change) {
        Some(MayChange::Yes) => true,
        Some(MayChange::WithoutEarlyStopping) => !early_stopping,
        Some(MayChange::No) | None => false,
    }
}
