//! The room that a run needs on the disk, estimated before its first step.

use std::path::Path;

use grades::config::Cooling;
use grades::torch::byte_len;
use tch::Tensor;

use super::setup::Setup;
use crate::config::{OptimizerName, RunConfig};
use crate::run::file_size_limit;
use crate::storage::{free_space, used_space};

/// The bytes of a step's line in `steps.jsonl`, of a freeze, of a value that a policy compares, and of a scalar for
/// TensorBoard; the largest report.
const STEP: u64 = 360;
const FREEZE: u64 = 300;
const VALUE: u64 = 12;
const SCALAR: u64 = 60;
const REPORT: u64 = 2 << 20;
/// The bytes of a tensor's entry in a file's header, of the state of a run besides its tensors, and those that a file system
/// may add to a file.
const ENTRY: u64 = 128;
const STATE: u64 = 16 << 10;
const BLOCK: u64 = 4 << 10;

/// The bytes that a run writes, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// The model or the adapter.
    pub(crate) model: u64,
    /// One checkpoint.
    pub(crate) checkpoint: u64,
    /// The number of checkpoints that are on the disk at a time.
    pub(crate) checkpoints: u64,
    /// The logs, the report, and the events for TensorBoard.
    pub(crate) logs: u64,
}

impl Room {
    /// Estimates the room that a run needs.
    pub(super) fn estimate(config: &RunConfig, setup: &Setup) -> Self {
        let steps = setup.loader.steps();
        Self {
            model: model(setup).saturating_add(sidecars(config)),
            checkpoint: one_checkpoint(config, setup),
            // A new one is written before an old one is removed; without any, a signal still makes one.
            checkpoints: match config.checkpoint.every {
                0 => 1,
                every => (config.checkpoint.keep as u64).saturating_add(1).min((steps / every).max(1)),
            },
            logs: logs(config, setup, steps),
        }
    }

    /// Returns the sum of all kinds.
    pub(super) fn total(&self) -> u64 {
        let checkpoints = self.checkpoint.saturating_mul(self.checkpoints);
        self.model.saturating_add(checkpoints).saturating_add(self.logs)
    }

    /// Returns warnings where the folder of a run has less room than this, or files may not become as large as this.
    pub(super) fn warnings(&self, run: &Path) -> Vec<String> {
        let used = used_space(run);
        let free = free_space(run).map(|free| free.saturating_add(used));
        let room = free.filter(|free| *free < self.total()).map(|free| {
            format!(
                "room is scarce: this run needs about {} (model {}, {} × checkpoint {}, logs {}), and {} has {}; make room, \
                 lower checkpoint.keep, or choose another output.folder",
                bytes(self.total()),
                bytes(self.model),
                self.checkpoints,
                bytes(self.checkpoint),
                bytes(self.logs),
                run.display(),
                bytes(free),
            )
        });
        let largest = self.model.max(self.checkpoint);
        let limit = file_size_limit().filter(|limit| *limit < largest).map(|limit| {
            format!(
                "files are limited to {} (ulimit -f), and this run writes some of up to about {}: raise the limit",
                bytes(limit),
                bytes(largest)
            )
        });
        room.into_iter().chain(limit).collect()
    }
}

/// Returns the bytes of the files that the run ends with: those of the adapter, or of all variables.
pub(super) fn model(setup: &Setup) -> u64 {
    let whole = || setup.task.store().variables().values().map(file_bytes).sum();
    if setup.adapter.is_some() { parameters(setup) } else { whole() }
}

/// Returns the bytes of a tensor in a file.
fn file_bytes(tensor: &Tensor) -> u64 {
    byte_len(tensor) + ENTRY
}

/// Returns the bytes of the files beside a model's weights.
fn sidecars(config: &RunConfig) -> u64 {
    let names = ["tokenizer.json", "vocab.txt", "merges.txt", "tokenizer.model"];
    // With config.json, these are about as many files again.
    names.iter().map(|name| used_space(&config.model.path.join(name)) + BLOCK).sum()
}

/// Returns the bytes of the parameters that train.
fn parameters(setup: &Setup) -> u64 {
    setup.optimizer.parameters().iter().map(|(_, parameter)| file_bytes(parameter.tensor())).sum()
}

/// Returns the bytes of a checkpoint: the parameters, the optimizer's state, means, and the best weights.
fn one_checkpoint(config: &RunConfig, setup: &Setup) -> u64 {
    let (mut single, mut half) = (0, 0);
    for (_, parameter) in setup.optimizer.parameters().iter() {
        let elements = parameter.tensor().numel() as u64;
        single += 4 * elements + ENTRY;
        half += if byte_len(parameter.tensor()) < 4 * elements { 4 * elements } else { 0 };
    }
    let moments = match config.optimizer.name {
        OptimizerName::Adam | OptimizerName::AdamW => 2,
        OptimizerName::Sgd => u64::from(config.optimizer.momentum != 0.0),
    };
    let means = config.freezing.as_ref().is_some_and(|freezing| freezing.cooling() == Cooling::Average);
    let best = config.early_stopping.is_some_and(|stopping| stopping.restore_best);
    let parameters = parameters(setup);
    // Master copies of weights in half precision count as moments do.
    let state = single * (moments + u64::from(means)) + half;
    parameters + state + if best { parameters } else { 0 } + STATE + 3 * BLOCK
}

/// Returns the bytes of the logs, the report, and the events for TensorBoard.
fn logs(config: &RunConfig, setup: &Setup, steps: u64) -> u64 {
    let components = setup.optimizer.components().len() as u64;
    let checks = config.freezing.as_ref().map_or(0, |freezing| steps / freezing.check_every().max(1));
    let values = checks.saturating_mul(components);
    let lines = steps.saturating_mul(STEP).saturating_add(values.saturating_mul(VALUE));
    let events = match config.output.tensorboard {
        true => steps.saturating_mul(8).saturating_add(values).saturating_mul(SCALAR),
        false => 0,
    };
    let report = if config.output.report { lines.min(REPORT) } else { 0 };
    lines.saturating_add(events).saturating_add(report).saturating_add(components * FREEZE)
}

/// Writes a number of bytes as a person reads it.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut size = count as f64;
    let mut unit = 0;
    // 999.95 would be rounded to 1000.0.
    while size >= 999.95 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if count < 1000 { format!("{count} {unit}") } else { format!("{size:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let shown = [0, 999, 1000, 37_140, 999_949, 999_951, 14_000_000_000, u64::MAX].map(bytes);
        let expected =
            ["0 bytes", "999 bytes", "1.0 kB", "37.1 kB", "999.9 kB", "1.0 MB", "14.0 GB", "18446744.1 TB"];
        assert_eq!(shown, expected.map(str::to_owned));
    }

    #[test]
    fn what_is_scarce_is_named_by_kind() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room { model: 1 << 62, checkpoint: 1 << 61, checkpoints: 3, logs: 5_000 };
        let warnings = room.warnings(dir.path());
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let start = "room is scarce: this run needs about 11529215.0 TB (model 4611686.0 TB, 3 × checkpoint \
                     2305843.0 TB, logs 5.0 kB), and ";
        assert!(warnings[0].starts_with(start), "{warnings:?}");
        let little = Room { model: 1, checkpoint: 1, checkpoints: 1, logs: 1 };
        assert!(little.warnings(dir.path()).is_empty());
    }
}
