//! The state of a run as plain data: every counter exactly once. Checkpoints store a [`TrainState`].

mod cache;
mod clock;
mod early_stopping;
mod flop_meter;
mod loss_monitor;
mod totals;

pub use cache::CacheEra;
pub use clock::{Clock, Stopwatch};
pub use early_stopping::{EarlyStoppingState, PatienceState};
pub use flop_meter::FlopMeter;
pub use loss_monitor::LossMonitorState;
pub use totals::{FreezeSpan, Totals};

use serde::{Deserialize, Serialize};

use crate::records::StopReason;

/// The state of a run between two steps, without tensors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrainState {
    /// Optimizer steps so far, skipped ones included: the position in the data.
    pub step: u64,
    /// Why the training ended, in a run that was interrupted after its last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<StopReason>,
    /// The counters.
    pub counters: Counters,
    /// The state of the loss monitor.
    #[serde(rename = "guard")]
    pub loss_monitor: LossMonitorState,
    /// The state of early stopping, in runs that use it.
    #[serde(rename = "stopping", default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingState>,
    /// The history of the activation cache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<CacheEra>,
}

/// The counters of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Time.
    #[serde(flatten)]
    pub clock: Clock,
    /// Examples, tokens, FLOPs and evaluations.
    #[serde(flatten)]
    pub totals: Totals,
    /// The first and the last freeze.
    #[serde(flatten)]
    pub freezes: FreezeSpan,
    /// Whether the run was ended before the evaluation that was due after its last step.
    #[serde(default)]
    pub evaluation_due: bool,
    /// The mean of the finite losses that were last read; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_loss: Option<f64>,
    /// How often the run was resumed.
    pub resumes: u64,
}

impl Counters {
    /// Returns a copy whose stopwatches stand still.
    #[must_use]
    pub fn stopped(&self) -> Self {
        let mut copy = self.clone();
        copy.clock.wall = self.clock.wall.stopped();
        copy.clock.training_loop = self.clock.training_loop.stopped();
        copy
    }
}
