//! The header of an optimizer file: everything that is not a tensor.

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::statistic::MomentFilter;
use crate::tracker::TrackerState;

/// The version of the format that this crate writes, and the newest that it reads.
///
/// 2: the tracker's cooldown is a number or a table as in a configuration; 1 had a string.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// Everything that is not a tensor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// The number of optimizer steps, skipped ones included.
    pub(crate) steps: u64,
    /// The optimizer's name.
    pub(crate) optimizer: String,
    pub(crate) hyperparameters: Table,
    pub(crate) parameters: Vec<ParameterHeader>,
    pub(crate) tracker: TrackerState,
    /// One per component where the signal fraction is followed, else none.
    pub(crate) filters: Vec<MomentFilter>,
    /// The learning-rate factors that were last sent to the optimizer; empty unless learning rates fall.
    pub(crate) factors: Vec<f64>,
    /// The numbers of cooling and of frozen components when they were sent.
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
    /// Whether the optimizer has stopped updating it.
    pub(crate) released: bool,
    pub(crate) factor: f64,
    pub(crate) steps: u64,
    /// The total weight of the values in its mean; 0 where there is none.
    pub(crate) averaged: f64,
}
