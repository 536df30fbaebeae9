//! Makes data sets of labelled sentences for a classifier.

use std::path::Path;

use anyhow::{Result, bail};
use grades_models::bert::BertClassifier;

use crate::data::{Dataset, Labels, Limits, Records, Tokenizer};

/// The labels and the tokenizer of a classifier.
pub(super) struct ClassifierEncoder {
    /// The labels, in the model's order.
    pub(super) labels: Labels,
    tokenizer: Tokenizer,
    /// The number of segments that the model has.
    segments: usize,
}

impl ClassifierEncoder {
    /// Loads the tokenizer of a model's directory.
    pub(super) fn load(
        model: &BertClassifier,
        path: &Path,
        labels: Labels,
        max_tokens: usize,
    ) -> Result<Self> {
        let limits =
            Limits { max_tokens, max_positions: model.max_positions(), vocab_size: model.vocab_size() };
        let tokenizer = Tokenizer::load(&path.join("tokenizer.json"), limits)?;
        let segments = usize::try_from(model.config().type_vocab_size).unwrap_or(0);
        Ok(Self { labels, tokenizer, segments })
    }

    /// Tokenizes examples and looks up their labels.
    pub(super) fn dataset(&self, records: &Records) -> Result<Dataset> {
        let dataset = Dataset::new(records, &self.labels, &self.tokenizer)?;
        let types = self.segments;
        if dataset.segments() > types {
            bail!(
                "{}: the second text of a pair is in segment 1, the model has {types} (\"type_vocab_size\" of config.json): \
                 it has not learnt pairs",
                records.path.display()
            );
        }
        Ok(dataset)
    }
}
