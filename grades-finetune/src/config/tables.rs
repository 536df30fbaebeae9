//! The list of all tables.

use grades::policy::PolicyRegistry;
use grades::{FreezingConfig, Result};
use toml::Table;

use super::cache::CacheConfig;
use super::checkpoint::CheckpointConfig;
use super::compare::CompareConfig;
use super::data::DataConfig;
use super::describe::{KeyInfo, TableInfo};
use super::distributed::DistributedConfig;
use super::early_stopping::EarlyStoppingConfig;
use super::evaluation::EvaluationConfig;
use super::guard::GuardConfig;
use super::lora::LoraRun;
use super::model::ModelConfig;
use super::optimizer::OptimizerConfig;
use super::output::OutputConfig;
use super::schedule::ScheduleConfig;
use super::training::TrainingConfig;

/// The keys and tables that may differ when a run is resumed: they do not change what is trained. Files are compared by
/// their contents.
const MAY_CHANGE: &[&str] = &[
    "model.path",
    "model.device",
    "data.train",
    "data.eval",
    "data.test",
    "evaluation",
    "output",
    "checkpoint",
    "guard",
    "distributed",
    "compare",
];

/// The keys that may differ as well where evaluations do not decide when the run ends.
const MAY_CHANGE_WITHOUT_EARLY_STOPPING: &[&str] = &["training.eval_every", "training.eval_batch_size"];

/// Lists the tables that this crate reads key by key.
pub(super) fn own_tables() -> Vec<TableInfo> {
    vec![
        TableInfo::of::<ModelConfig>(),
        TableInfo::of::<DataConfig>(),
        TableInfo::of::<TrainingConfig>(),
        TableInfo::of::<OptimizerConfig>(),
        TableInfo::of::<ScheduleConfig>(),
        TableInfo::of::<EvaluationConfig>(),
        TableInfo::of::<OutputConfig>(),
        TableInfo::of::<CheckpointConfig>(),
        TableInfo::of::<GuardConfig>(),
        TableInfo::of::<DistributedConfig>(),
        TableInfo::of::<EarlyStoppingConfig>().optional(),
        TableInfo::of::<CompareConfig>().optional(),
    ]
}

/// Lists all tables, those of the libraries as well.
pub(crate) fn all_tables() -> Vec<TableInfo> {
    let mut tables = own_tables();
    let policy = Table::from_iter([("name".to_owned(), FreezingConfig::DEFAULT_POLICY.into())]);
    let freezing = TableInfo::of_keys("freezing", FreezingConfig::ABOUT, FreezingConfig::KEYS);
    tables.push(freezing.optional().with_defaults(&Table::from_iter([("policy".to_owned(), policy.into())])));
    tables.push(TableInfo::of::<CacheConfig>().optional());
    tables.push(LoraRun::describe());
    tables
}

/// Lists the linked policies, each with its keys.
///
/// # Errors
///
/// When the registry of policies contradicts itself.
pub(crate) fn policies() -> Result<Vec<TableInfo>> {
    let registry = PolicyRegistry::linked()?;
    let tables = registry
        .plugins()
        .map(|plugin| TableInfo::of_keys(plugin.name(), plugin.summary(), plugin.keys()).optional());
    Ok(tables.collect())
}

/// Finds a key by its dotted name.
pub(crate) fn key_info(path: &str) -> Option<KeyInfo> {
    let (table, key) = path.split_once('.')?;
    let table = all_tables().into_iter().find(|info| info.name == table)?;
    table.keys.into_iter().find(|info| info.name == key)
}

/// Returns whether a key may differ when a run is resumed.
pub(crate) fn may_change(path: &str, early_stopping: bool) -> bool {
    let table = path.split_once('.').map_or(path, |(table, _)| table);
    let listed = |names: &[&str]| names.contains(&path) || names.contains(&table);
    listed(MAY_CHANGE) || (!early_stopping && listed(MAY_CHANGE_WITHOUT_EARLY_STOPPING))
}

#[cfg(test)]
mod tests {
    use super::{MAY_CHANGE, MAY_CHANGE_WITHOUT_EARLY_STOPPING, key_info, own_tables};

    #[test]
    fn every_key_that_may_change_exists() {
        for name in MAY_CHANGE.iter().chain(MAY_CHANGE_WITHOUT_EARLY_STOPPING) {
            let is_table = own_tables().iter().any(|table| table.name == *name);
            assert!(is_table || key_info(name).is_some(), "{name}");
        }
    }
}
