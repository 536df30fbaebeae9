//! Evaluates a model that is trained already, on the examples of `data.eval`.

use anyhow::{Result, anyhow};
use grades_models::bert::BertClassifier;
use grades_models::decoder::Decoder;

use super::causal_lm::encoder;
use super::classifier_encoder::ClassifierEncoder;
use super::evaluate_classifier::evaluate;
use super::evaluate_decoder::{DecoderEvaluation, evaluate_decoder};
use crate::cache::ActivationCache;
use crate::config::RunConfig;
use crate::data::sequence::read_examples;
use crate::data::{Labels, Sampler, SamplerOptions, read};
use crate::records::Evaluation;

const NO_DATA: &str = "there is no data.eval to evaluate on";

/// Evaluates a classifier as a run does.
///
/// # Errors
///
/// When the data cannot be read, has a label that the model lacks, or the model refuses.
pub(crate) fn evaluate_classifier_on(
    model: &BertClassifier,
    config: &RunConfig,
    max_tokens: usize,
) -> Result<Evaluation> {
    let path = config.data.eval.as_deref().ok_or_else(|| anyhow!(NO_DATA))?;
    let labels = Labels::from_names(model.labels().to_vec())?;
    let encoder = ClassifierEncoder::load(model, &config.model.path, labels, max_tokens)?;
    let dataset = encoder.dataset(&read(path, &config.data.source())?)?;
    let sampler = Sampler::new(&dataset, SamplerOptions::default())?;
    let (batch_size, mut cache) = (config.training.eval_batch_size, ActivationCache::off());
    let evaluation = evaluate(model, &dataset, &sampler, batch_size, &mut cache, &|| false)?;
    evaluation.ok_or_else(|| anyhow!("the evaluation was stopped"))
}

/// Evaluates a decoder as a run does.
///
/// # Errors
///
/// When the data cannot be read or encoded, or the model refuses.
pub(crate) fn evaluate_decoder_on(
    model: &Decoder,
    config: &RunConfig,
    max_tokens: usize,
) -> Result<Evaluation> {
    let path = config.data.eval.as_deref().ok_or_else(|| anyhow!(NO_DATA))?;
    let encoder = encoder(model, config, max_tokens)?;
    let sequences = encoder.encode(&read_examples(path, &config.data.key_names())?)?;
    let (batch_size, mut cache) = (config.training.eval_batch_size, ActivationCache::off());
    let options =
        DecoderEvaluation { vocabulary: &encoder.vocabulary, batch_size, options: &config.evaluation };
    let _no_grad = tch::no_grad_guard();
    let evaluation = evaluate_decoder(model, &sequences, &options, &mut cache, &|| false)?;
    evaluation.ok_or_else(|| anyhow!("the evaluation was stopped"))
}
