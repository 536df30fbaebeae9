//! The guard against numbers that cease to be any.

use serde::{Deserialize, Serialize};

use crate::config::GuardConfig;

/// Counts bad steps and looks for losses out of line.
#[derive(Debug)]
pub(super) struct Guard {
    config: GuardConfig,
    state: GuardState,
}

/// What a guard has seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuardState {
    /// Steps whose loss or gradients were not finite.
    pub(super) bad: u64,
    /// Those since the last good one.
    pub(super) in_a_row: u64,
    /// Losses far above their running mean.
    pub(super) spikes: u64,
    /// The running sum of losses and of their weights.
    sum: f64,
    weight: f64,
    /// The losses in it.
    seen: u64,
}

/// What a loss is compared with is a mean over about so many steps.
const DECAY: f64 = 0.98;
/// So many losses come first.
const FIRST: u64 = 20;

impl Guard {
    pub(super) fn new(config: GuardConfig, mut state: GuardState) -> Self {
        // Whoever resumes has seen to the cause.
        state.in_a_row = 0;
        Self { config, state }
    }

    pub(super) fn state(&self) -> &GuardState {
        &self.state
    }

    /// Whether the norm of the gradients is to be taken where nothing else does.
    pub(super) fn checks_gradients(&self) -> bool {
        self.config.check_gradients
    }

    /// Takes note of a step's loss, and whether the step was skipped; a warning if the loss is out of line.
    pub(super) fn watch(&mut self, step: u64, loss: f64, skipped: bool) -> Option<String> {
        if skipped || !loss.is_finite() {
            self.state.bad += 1;
            self.state.in_a_row += 1;
            return None;
        }
        self.state.in_a_row = 0;
        let mean = self.state.sum / self.state.weight;
        let highest = self.config.spike_factor * mean;
        let spike = self.config.spike_factor > 0.0 && self.state.seen >= FIRST && loss > highest;
        // One loss out of line does not make the next one look well.
        let counted = if spike { highest } else { loss };
        self.state.sum = DECAY * self.state.sum + (1.0 - DECAY) * counted;
        self.state.weight = DECAY * self.state.weight + (1.0 - DECAY);
        self.state.seen += 1;
        if !spike {
            return None;
        }
        self.state.spikes += 1;
        Some(format!(
            "the loss of step {step} is {loss:.4}, {:.1} times its running mean of {mean:.4}",
            loss / mean
        ))
    }

    /// Whether there were too many bad steps in a row.
    pub(super) fn gives_up(&self) -> bool {
        self.state.in_a_row >= self.config.max_bad_steps
    }
}

/// Why a run ended before its time, with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error(
    "the last {count} steps, up to step {step}, had a loss or gradients that are not finite, and were skipped \
     (guard.max_bad_steps = {count}); try a lower optimizer.lr or training.clip_norm. {kept}"
)]
pub struct BadNumbers {
    /// How many steps there were.
    pub(super) count: u64,
    /// The last of them.
    pub(super) step: u64,
    /// What is on the disk.
    pub(super) kept: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let config = GuardConfig { max_bad_steps: 2, spike_factor: 3.0, check_gradients: false };
        Guard::new(config, GuardState::default())
    }

    #[test]
    fn bad_steps_are_counted_until_a_good_one() {
        let mut guard = guard();
        for (loss, skipped, gives_up) in
            [(1.0, true, false), (f64::NAN, false, true), (1.0, false, false), (f64::INFINITY, true, false)]
        {
            guard.watch(1, loss, skipped);
            assert_eq!(guard.gives_up(), gives_up, "{loss}");
        }
        assert_eq!(guard.state().bad, 3);
        assert_eq!(Guard::new(guard.config, guard.state().clone()).state().in_a_row, 0);
    }

    #[test]
    fn a_loss_out_of_line_is_told_of_once_there_is_a_line() {
        let mut guard = guard();
        assert!(
            (0..FIRST).all(|step| guard.watch(step, if step == 5 { 100.0 } else { 1.0 }, false).is_none())
        );
        let mut guard = Guard::new(guard.config, GuardState::default());
        assert!((0..FIRST).all(|step| guard.watch(step, 1.0, false).is_none()));
        assert_eq!(guard.watch(20, 2.9, false), None);
        let line = guard.watch(21, 9.0, false).unwrap();
        assert!(
            line.contains("step 21 is 9.0000") && line.contains("8.1 times its running mean of 1.1"),
            "{line}"
        );
        assert_eq!(guard.state().spikes, 1);
        guard.config.spike_factor = 0.0;
        assert_eq!(guard.watch(22, 1e9, false), None);
    }
}
