//! Predicts labels.

use std::cmp::Reverse;

use anyhow::{Result, bail};
use grades_models::bert::BertClassifier;
use tch::{Device, Kind, Tensor};

use super::load::ModelFiles;
use crate::data::{Dataset, Limits, Record, Records, TextReader, Tokenizer};

/// How a classifier reads and computes.
#[derive(Debug, Clone)]
pub struct ClassifierOptions {
    /// The longest text in tokens, special ones included; longer ones are cut. The model's positions when absent.
    pub max_tokens: Option<usize>,
    /// Texts in a forward pass.
    pub batch_size: usize,
    /// Texts that are sorted by length together.
    pub window: usize,
}

impl Default for ClassifierOptions {
    fn default() -> Self {
        Self { max_tokens: None, batch_size: 32, window: 2048 }
    }
}

/// The prediction for a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The position of the most likely label.
    pub label: usize,
    /// The probability of each label, in the order of their ids.
    pub probabilities: Vec<f32>,
}

/// A trained classifier with its tokenizer.
#[derive(Debug)]
pub struct Classifier {
    model: BertClassifier,
    tokenizer: Tokenizer,
    options: ClassifierOptions,
    /// The number of texts that were cut.
    truncated: usize,
}

impl Classifier {
    /// Makes it of a loaded model and the tokenizer beside it.
    ///
    /// # Errors
    ///
    /// When the tokenizer cannot be read, or `max_tokens` is beyond the model's positions.
    pub fn new(model: BertClassifier, files: &ModelFiles, options: ClassifierOptions) -> Result<Self> {
        let positions = usize::try_from(model.max_positions()).unwrap_or(usize::MAX);
        let limits = Limits {
            max_tokens: options.max_tokens.unwrap_or(positions),
            max_positions: model.max_positions(),
            vocab_size: model.vocab_size(),
        };
        let tokenizer = Tokenizer::load(&files.base.join("tokenizer.json"), limits)?;
        Ok(Self { model, tokenizer, options, truncated: 0 })
    }

    /// Returns the names of the labels, in the order of their ids.
    pub fn labels(&self) -> &[String] {
        self.model.labels()
    }

    /// Returns the number of texts that were cut to the longest sequence so far.
    pub fn truncated(&self) -> usize {
        self.truncated
    }

    /// Predicts the label of each text, in their order; batches have texts of like length.
    ///
    /// # Errors
    ///
    /// When the tokenizer, the model or libtorch refuses; the message has the line of the text.
    pub fn predict(&mut self, texts: &Records) -> Result<Vec<Prediction>> {
        let dataset = Dataset::unlabelled(texts, &self.tokenizer)?;
        let types = usize::try_from(self.model.config().type_vocab_size).unwrap_or(0);
        if dataset.segments() > types {
            bail!(
                "{}: the second text of a pair is in segment 1, the model has {types} (\"type_vocab_size\" of config.json): \
                 it has not learnt pairs",
                texts.path.display()
            );
        }
        self.truncated += dataset.truncated();
        let _no_grad = tch::no_grad_guard();
        let lengths = dataset.lengths();
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        // The longest first: if the memory does not suffice, the first batch fails.
        order.sort_by_key(|&index| Reverse(lengths.get(index).copied().unwrap_or(0)));
        let mut parts = Vec::new();
        for rows in order.chunks(self.options.batch_size.max(1)) {
            let batch = dataset.collate(rows, self.model.device())?;
            let logits = match &batch.types {
                Some(types) => self.model.forward_pairs(&batch.ids, types, &batch.mask, false)?,
                None => self.model.forward(&batch.ids, &batch.mask, false)?,
            };
            // They stay on the device until the window ends.
            parts.push(logits.f_softmax(-1, Kind::Float)?);
        }
        let mut found = vec![Prediction { label: 0, probabilities: Vec::new() }; order.len()];
        if parts.is_empty() {
            return Ok(found);
        }
        let flat = Tensor::f_cat(&parts, 0)?.f_to_device(Device::Cpu)?.f_contiguous()?.f_view(-1)?;
        let values = Vec::<f32>::try_from(flat)?;
        let width = self.labels().len().max(1);
        for (index, row) in order.into_iter().zip(values.chunks(width)) {
            if let Some(slot) = found.get_mut(index) {
                *slot = Prediction { label: largest(row), probabilities: row.to_vec() };
            }
        }
        Ok(found)
    }

    /// Predicts the label of each text of a reader and passes it on, in their order; at no time is more than a window of texts
    /// in memory.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict), for a line that cannot be read, and when the receiver fails; what was predicted before
    /// has been passed on.
    pub fn predict_all(
        &mut self,
        texts: &mut TextReader,
        receive: &mut dyn FnMut(&Record, &Prediction) -> Result<()>,
    ) -> Result<()> {
        texts.windows(self.options.window, &mut |window| {
            for (text, prediction) in window.list.iter().zip(self.predict(window)?) {
                receive(text, &prediction)?;
            }
            Ok(())
        })
    }
}

/// Returns the position of the largest value, the first of equal ones.
fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if values.get(best).is_some_and(|best| value > best) {
            best = index;
        }
    }
    best
}
