//! Plans the runs of a comparison.

use anyhow::Result;
use toml::{Table, Value};

use super::folder::ComparisonFolder;
use super::order::order;
use super::variants::Variant;
use crate::config::Document;

/// A run of a comparison, which may exist already.
pub(super) struct PlannedRun<'a> {
    /// Its variant, and the variant's position.
    pub(super) variant: &'a Variant,
    pub(super) index: usize,
    /// Its seed.
    pub(super) seed: u64,
    /// Its name, which is that of its folder.
    pub(super) name: String,
    /// Its configuration.
    pub(super) table: Table,
}

impl<'a> PlannedRun<'a> {
    fn new(variant: &'a Variant, index: usize, seed: u64, folder: &ComparisonFolder) -> Result<Self> {
        let name = name(variant, seed);
        let mut document = Document::from(variant.table.clone());
        document.put("training.seed", Value::Integer(seed.cast_signed()))?;
        document.put("output.folder", folder.file("runs").display().to_string())?;
        document.put("output.name", name.clone())?;
        Ok(Self { variant, index, seed, name, table: document.table().clone() })
    }

    /// Returns what the run is identified by: the variant's position and the seed.
    pub(super) fn key(&self) -> (usize, u64) {
        (self.index, self.seed)
    }
}

/// Returns the name of a run.
pub(super) fn name(variant: &Variant, seed: u64) -> String {
    format!("{}-seed{seed}", variant.name)
}

/// Plans all runs, in their order.
///
/// # Errors
///
/// When an earlier start made a run with another configuration.
pub(super) fn plan<'a>(
    variants: &'a [Variant],
    seeds: &[u64],
    folder: &ComparisonFolder,
) -> Result<Vec<PlannedRun<'a>>> {
    let mut plan = Vec::new();
    for (index, seed) in order(variants.len(), seeds.len()) {
        if let (Some(variant), Some(seed)) = (variants.get(index), seeds.get(seed)) {
            plan.push(PlannedRun::new(variant, index, *seed, folder)?);
        }
    }
    for run in &plan {
        folder.check(&run.name, &run.table)?;
    }
    Ok(plan)
}
