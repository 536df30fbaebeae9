//! Reads the overhead of watching gradients, which a process of its own measures.

use std::path::Path;

use anyhow::{Context, Result};

use crate::records::Overhead;

/// Reads what `finetune monitoring` printed: the last JSON line of its log.
pub(super) fn read_overhead(log: &Path) -> Result<Overhead> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let line = text.lines().rfind(|line| line.starts_with('{')).context("no result was printed")?;
    serde_json::from_str(line).with_context(|| format!("{} is damaged", log.display()))
}
