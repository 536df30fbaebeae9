//! `evals.jsonl`: one line per evaluation on `data.eval`.

use std::io::Write;

use anyhow::Result;

use super::lines::LineFile;
use crate::records::{EvalRecord, write_line};

/// Writes the lines.
#[derive(Debug)]
pub(super) struct EvalLog(LineFile);

impl EvalLog {
    pub(super) fn new(file: LineFile) -> Self {
        Self(file)
    }

    pub(super) fn push(&mut self, record: &EvalRecord) -> Result<()> {
        write_line(&mut self.0, record)?;
        Ok(self.0.flush()?)
    }
}
