//! What keeps a run's work: checkpoints, and a guard against bad numbers.

use grades::schema::Section;
use serde::Serialize;

/// When the state of a run is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CheckpointConfig {
    /// Optimizer steps from one checkpoint to the next; with 0 there is one only when a run is ended before its time.
    pub every: u64,
    /// How many of the newest are kept.
    pub keep: usize,
}

/// What happens when numbers cease to be any.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GuardConfig {
    /// So many steps in a row whose loss or gradients are not finite end the run.
    pub max_bad_steps: u64,
    /// A loss above its running mean times this is reported; 0 reports none.
    pub spike_factor: f64,
    /// Whether the norm of the gradients is taken even where nothing is clipped.
    pub check_gradients: bool,
}

impl CheckpointConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let every = section.integer_or("every", 0, "at least 0", |_| true);
        let keep = section.integer_or("keep", 2, "at least 1", |number| number >= 1);
        Some(Self { every: every?, keep: usize::try_from(keep?).ok()? })
    }
}

impl GuardConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let max_bad_steps = section.integer_or("max_bad_steps", 10, "at least 1", |number| number >= 1);
        let expected = "0, or a number above 1";
        let factor = |factor: f64| factor == 0.0 || (factor > 1.0 && factor.is_finite());
        let spike_factor = section.number_or("spike_factor", 10.0, expected, factor);
        let check_gradients = section.flag_or("check_gradients", false);
        Some(Self {
            max_bad_steps: max_bad_steps?,
            spike_factor: spike_factor?,
            check_gradients: check_gradients?,
        })
    }
}
