//! Who is told of each step: the logs of freezes and statistics, and TensorBoard.

use anyhow::{Context, Result, anyhow};
use grades::observe::{FreezeLog, StatisticsLog};

use super::folder::RunFolder;
use super::keeping::Keeping;
use super::task::Optimizer;
use crate::records::{FREEZES, STATISTICS};
use crate::tensorboard::TensorBoard;

/// Adds the observers of a run that begins or goes on; returns the one for TensorBoard, where it is wanted, as well.
pub(super) fn observed(
    optimizer: Optimizer,
    folder: &RunFolder,
    keeping: &Keeping,
    wants_tensorboard: bool,
) -> Result<(Optimizer, Option<TensorBoard>)> {
    let name = |log: &str| folder.file(log).display().to_string();
    let freezes = FreezeLog::new(name(FREEZES), keeping.log(FREEZES)?);
    let writer = keeping.log(STATISTICS)?;
    let length = writer.length().map_err(|reason| anyhow!("looking at the log of statistics: {reason}"))?;
    let begun = length > 0;
    let statistics = match begun {
        true => StatisticsLog::resume(name(STATISTICS), writer),
        false => StatisticsLog::start(name(STATISTICS), writer, optimizer.components())?,
    };
    let optimizer = optimizer.with_observer(freezes).with_observer(statistics);
    if !wants_tensorboard {
        return Ok((optimizer, None));
    }
    let opened =
        TensorBoard::open(&folder.file("tensorboard"), optimizer.steps() + 1, optimizer.components());
    let before = keeping.earlier().nanoseconds as f64 / 1e9;
    let tensorboard = opened.context("cannot write for TensorBoard")?.after(before);
    Ok((optimizer.with_observer(tensorboard.clone()), Some(tensorboard)))
}
