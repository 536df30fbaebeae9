//! Evaluates a trained model on a file.

use std::path::Path;

use anyhow::Result;
use grades_models::{Family, bert, decoder};

use super::load::{ModelFiles, load_classifier, load_decoder};
use crate::config::{Document, RunConfig, resolve_for_model};
use crate::records::Evaluation;
use crate::tasks::{evaluate_classifier_on, evaluate_decoder_on};

/// The settings of an evaluation besides the model and the data.
#[derive(Debug, Clone, Default)]
pub struct EvaluateOptions {
    /// The tables of a run, of which `[data]`, `[evaluation]`, `model.dtype`, `model.device` and
    /// `training.eval_batch_size` count.
    pub document: Document,
}

/// Measures a model on labelled examples, or on those of a decoder, as a run with these settings measures it.
///
/// # Errors
///
/// When the model, the data or a setting cannot be used.
pub fn evaluate_file(files: &ModelFiles, data: &Path, options: &EvaluateOptions) -> Result<Evaluation> {
    let mut document = options.document.clone();
    for table in ["freezing", "lora", "early_stopping", "compare"] {
        document.remove(table);
    }
    document.take("data", "test");
    document.take("model", "from_scratch");
    document.take("model", "new_head");
    document.put("model.path", files.base.display().to_string())?;
    document.put("data.train", data.display().to_string())?;
    document.put("data.eval", data.display().to_string())?;
    let mut config = RunConfig::read(document.table())?;
    let (family, max_tokens) = resolve_for_model(&mut config)?;
    let (device, dtype) = (config.model.device.device()?, config.model.dtype.kind());
    match family {
        Family::Bert => {
            let options = bert::LoadOptions { device, dtype, ..bert::LoadOptions::default() };
            evaluate_classifier_on(&load_classifier(files, options)?, &config, max_tokens)
        }
        Family::Decoder(_) => {
            let options = decoder::LoadOptions {
                device,
                dtype,
                autocast: config.model.autocast,
                ..decoder::LoadOptions::default()
            };
            evaluate_decoder_on(&load_decoder(files, options)?, &config, max_tokens)
        }
    }
}
