//! What of a checkpoint is no tensor.

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::statistic::MomentFilter;
use crate::tracker::TrackerState;

/// The version of the format that this crate writes, and the newest that it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// All that is no tensor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// The optimizer steps that were applied.
    pub(crate) steps: u64,
    /// The optimizer's name.
    pub(crate) optimizer: String,
    pub(crate) hyperparameters: Table,
    pub(crate) parameters: Vec<ParameterHeader>,
    pub(crate) tracker: TrackerState,
    /// One per component where the signal fraction is followed, else none.
    pub(crate) filters: Vec<MomentFilter>,
    /// The factors on learning rates that the optimizer was told; none when nothing cools.
    pub(crate) factors: Vec<f64>,
    /// How many components cooled and were frozen when it was told.
    pub(crate) standing: (u64, u64),
    /// The blocks whose followers are frozen.
    pub(crate) closed_blocks: Vec<u32>,
    /// Whether a step so far had two micro-batches.
    pub(crate) micro_batches_seen: bool,
}

/// One parameter, without its values.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParameterHeader {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    /// Whether it was frozen.
    pub(crate) held: bool,
    /// Whether the optimizer does not update it any more.
    pub(crate) released: bool,
    pub(crate) factor: f64,
    pub(crate) steps: u64,
    /// The weights of the values in the mean of its weights; 0 where there is none.
    pub(crate) averaged: f64,
}
