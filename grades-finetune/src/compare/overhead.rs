//! Measures what watching gradients costs, in a process of its own.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::folder::ComparisonFolder;
use super::plan::name;
use super::process::{Ended, last_line, run};
use super::variants::Variant;
use crate::log::Progress;
use crate::records::Overhead;
use crate::run::Interrupt;

/// A measurement of the overhead.
pub(super) struct Measurement<'a> {
    /// The program whose `monitoring` measures.
    pub(super) program: &'a Path,
    /// The seed of the run whose configuration is measured.
    pub(super) seed: u64,
    /// Optimizer steps.
    pub(super) steps: u64,
}

impl Measurement<'_> {
    /// Measures each variant that freezes; what an earlier start measured is read.
    ///
    /// # Errors
    ///
    /// When no process can be started. A variant that cannot be measured is left out, with a line that says why.
    pub(super) fn of<'v>(
        &self,
        variants: &'v [Variant],
        folder: &ComparisonFolder,
        interrupt: &Interrupt,
    ) -> Result<BTreeMap<&'v str, Overhead>> {
        let mut costs = BTreeMap::new();
        let progress = Progress::new(0, 0);
        for variant in variants.iter().filter(|variant| variant.freezes()) {
            let log = folder.log(&format!("monitoring-{}", variant.name));
            if let Ok(cost) = read(&log) {
                costs.insert(variant.name.as_str(), cost);
                continue;
            }
            let config = folder.config(&name(variant, self.seed)).display().to_string();
            progress.line(&format!("measuring what watching gradients costs in the row {}", variant.name));
            let steps = self.steps.to_string();
            let arguments = ["monitoring", "--config", &config, "--steps", &steps];
            let Ended::Exited(status) = run(self.program, &arguments, &log, interrupt, |_| {})? else {
                break;
            };
            match read(&log) {
                Ok(cost) => {
                    costs.insert(variant.name.as_str(), cost);
                }
                Err(_) => {
                    let reason = last_line(&log).unwrap_or_default();
                    progress.line(&format!("  not measured, {status}; {reason}"));
                }
            }
        }
        Ok(costs)
    }
}

/// Reads what `finetune monitoring` printed: the last JSON line of its log.
fn read(log: &Path) -> Result<Overhead> {
    let text =
        grades_lora::read_regular_text(log).with_context(|| format!("cannot read {}", log.display()))?;
    let line = text.lines().rfind(|line| line.starts_with('{')).context("no result was printed")?;
    serde_json::from_str(line).with_context(|| format!("{} is damaged", log.display()))
}
