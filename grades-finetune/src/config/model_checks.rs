//! Checks a configuration against the model and sets the defaults that depend on it.

use anyhow::Result;
use grades::Problems;
use grades_models::Family;
use grades_models::bert::BertConfig;
use grades_models::decoder::DecoderConfig;

use super::RunConfig;
use crate::data::sequence::{KeyNames, TooLong, Turns};
use crate::data::{Column, Header};

/// The longest sequence of a classifier, and of a decoder, unless the user says otherwise or
/// the model has fewer positions.
const CLASSIFIER_TOKENS: usize = 64;
const DECODER_TOKENS: usize = 1024;

/// Refuses keys that the model cannot use and sets the defaults that depend on it; returns the longest sequence.
///
/// # Errors
///
/// When a key is for another kind of model, or the model's own configuration cannot be read.
pub(crate) fn resolve_for_model(config: &mut RunConfig, family: Family) -> Result<usize> {
    let mut problems = Problems::default();
    let default = match family {
        Family::Bert => {
            let keys = KeyNames { text: config.data.key_names().text, ..KeyNames::default() };
            let (data, model) = (&config.data, &config.model);
            let only = [
                ("model.autocast", model.autocast),
                ("model.split_fused", model.split_fused),
                ("model.from_scratch", model.from_scratch),
                ("data.chat", data.chat),
                ("data.packing", data.packing),
                ("data.turns", data.turns != Turns::All),
                ("data.too_long", data.too_long != TooLong::Truncate),
                ("data.prompt, response, messages, choices or answer", data.key_names() != keys),
                ("training.checkpointing", config.training.checkpointing),
                ("evaluation.exact_match", config.evaluation.exact_match),
            ];
            for (key, given) in only {
                if given {
                    problems.push(key, "is for decoders; the model is a classifier (model_type bert)");
                }
            }
            config.default_modules(&["classifier"]);
            let longest = BertConfig::load(&config.model.path)?.max_position_embeddings;
            CLASSIFIER_TOKENS.min(usize::try_from(longest).unwrap_or(CLASSIFIER_TOKENS))
        }
        Family::Decoder(architecture) => {
            let (data, model) = (&config.data, &config.model);
            let only = [
                ("model.new_head", model.new_head),
                ("data.label", data.label != Column::Position(-1)),
                ("data.header", data.header != Header::Auto),
                ("data.format", data.format.is_some()),
            ];
            for (key, given) in only {
                if given {
                    let kind = architecture.model_type();
                    problems
                        .push(key, format!("is for classifiers; the model is a decoder (model_type {kind})"));
                }
            }
            if config.lora.is_some() {
                let adapted = [
                    ("model.autocast", model.autocast, "with model.kind = \"bf16\" adapters train in f32"),
                    (
                        "model.split_fused",
                        model.split_fused,
                        "an adapter goes with the files' fused matrices",
                    ),
                    ("model.from_scratch", model.from_scratch, "adapters need a base"),
                ];
                for (key, given, reason) in adapted {
                    if given {
                        problems.push(key, format!("cannot be combined with [lora]: {reason}"));
                    }
                }
            }
            let longest = DecoderConfig::load(&model.path)?.max_position_embeddings;
            DECODER_TOKENS.min(usize::try_from(longest).unwrap_or(DECODER_TOKENS))
        }
    };
    let config = problems.into_result(config)?;
    Ok(*config.data.max_tokens.get_or_insert(default))
}
