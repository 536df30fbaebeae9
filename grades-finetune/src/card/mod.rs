//! Model cards: the `README.md` of a saved model or adapter, as the Hugging Face Hub reads it.

mod base;
mod body;
mod escape;
mod front_matter;

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use grades::tracker::FreezeEvent;

use crate::config::RunConfig;
use crate::records::{Ending, FREEZES, Summary, read_lines};
use crate::storage::{checksum, write_atomic};
use base::Base;

/// The name of the file.
const FILE: &str = "README.md";

/// The facts about a run that its card has.
#[derive(Debug)]
pub(crate) struct Card<'a> {
    /// The run's folder.
    pub(crate) run: &'a Path,
    /// The configuration, completed for the model.
    pub(crate) config: &'a RunConfig,
    /// The result.
    pub(crate) summary: &'a Summary,
    /// The training data in a few words.
    pub(crate) data: &'a str,
    /// PEFT's name of the task.
    pub(crate) task: &'a str,
    /// The names of the labels, for classifiers.
    pub(crate) labels: &'a [String],
}

impl Card<'_> {
    /// Writes the card into the directory of the saved model. A `README.md` that this program has not written, or that was
    /// changed since, stays.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        match grades_lora::read_regular_text(&path) {
            Ok(text) if !is_own(&text) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // It is somebody's, whatever it is.
            Err(_) => return Ok(()),
        }
        let text = self.text()?;
        // The error begins with the path.
        write_atomic(&path, text.as_bytes()).map_err(|error| anyhow!("cannot write {error}"))
    }

    /// Writes the card as text.
    fn text(&self) -> Result<String> {
        let events: Vec<FreezeEvent> =
            read_lines(&self.run.join(FREEZES), Ending::MayBeCut).context("the model card")?;
        let base = Base::of(&self.config.model.path);
        let text = format!("{}{}", front_matter::write(self, &base)?, body::write(self, &base, &events)?);
        Ok(format!("{text}{}", mark(&text)))
    }

    /// Returns the name of the run.
    fn name(&self) -> String {
        let absolute = self.run.canonicalize().unwrap_or_else(|_| self.run.to_path_buf());
        absolute.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// Returns the name of the training data: that of its file, or of its folder where the file is called as all are.
    fn dataset(&self) -> String {
        let path = &self.config.data.train;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        match folder {
            Some(folder) if ["train", "training", "data"].contains(&stem.as_str()) => folder,
            _ => stem,
        }
    }

    /// Returns the Hub's name of the task; `None` where it has none.
    fn pipeline(&self) -> Option<&'static str> {
        match self.task {
            "SEQ_CLS" => Some("text-classification"),
            "TOKEN_CLS" => Some("token-classification"),
            "CAUSAL_LM" => Some("text-generation"),
            _ => None,
        }
    }

    /// Returns the scores on a part of the data, by the names that `summary.json` has for them without the part's.
    fn scores(&self, part: &str) -> Result<Vec<(String, f64)>> {
        let summary = serde_json::to_value(self.summary).context("the model card")?;
        let fields = summary.as_object().into_iter().flatten();
        let score = |(key, value): (&String, &serde_json::Value)| {
            let name = key.strip_prefix(part)?.strip_prefix('_')?;
            let cost = ["seconds", "flops"].contains(&name);
            Some((name.to_owned(), value.as_f64().filter(|_| !cost)?))
        };
        Ok(fields.filter_map(score).collect())
    }
}

/// The beginning of the last line, by which this program knows its own cards.
const MARK: &str = "<!-- written by finetune, checksum ";

/// Returns the last line of a card: a comment that pages do not show.
fn mark(text: &str) -> String {
    format!("{MARK}{} -->\n", checksum(text.as_bytes()))
}

/// Returns whether this program wrote a card and nobody has changed it since.
fn is_own(text: &str) -> bool {
    text.rfind(MARK).and_then(|at| text.split_at_checked(at)).is_some_and(|(body, last)| last == mark(body))
}
