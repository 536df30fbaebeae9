//! What watching gradients costs, by a process of its own.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What `finetune monitoring` printed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MonitoringCost {
    /// The median over steps of how much longer one takes with the policy, in percent.
    pub percent: f64,
    /// The quartiles of that.
    pub quartiles: [f64; 2],
    /// Steps that were compared.
    pub pairs: usize,
    /// The median of a step's seconds without the policy.
    pub seconds_per_step: f64,
}

impl MonitoringCost {
    /// Reads what was printed, which is the last line of the log.
    pub(super) fn read(log: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
        let line = text.lines().rfind(|line| line.starts_with('{')).context("no result was printed")?;
        serde_json::from_str(line).with_context(|| format!("{} is damaged", log.display()))
    }
}
