//! The `[checkpoint]` table.

use grades::schema::field::count;
use grades::schema::table;
use serde::Serialize;

table! {
    /// When the state of the run is saved, for --resume.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub struct CheckpointConfig = "checkpoint" {
        /// Optimizer steps from one checkpoint to the next; with 0 only a run that is interrupted saves one.
        every: u64 = count(0, 0),
        /// How many of the newest checkpoints are kept.
        keep: usize = count(2, 1),
    }
}
