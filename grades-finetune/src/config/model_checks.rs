//! Checks a configuration against the model: which keys a classifier or a decoder has.

use anyhow::{Result, bail};
use grades::Problems;
use grades_models::{Family, ModelConfig};

use super::data::{CLASSIFIER_TOKENS, DECODER_TOKENS};
use super::run_config::RunConfig;
use crate::data::sequence::{KeyNames, TooLong, Turns};
use crate::data::{Column, Header};

/// Refuses keys that have no meaning for the model, and sets those that depend on it; returns the model's family and the
/// longest sequence.
pub(crate) fn resolve_for_model(config: &mut RunConfig) -> Result<(Family, usize)> {
    let path = &config.model.path;
    if !path.is_dir() {
        let path = path.display();
        bail!(
            "model.path: there is no directory {path}; to fetch a model of the Hugging Face Hub: \
             huggingface-cli download OWNER/MODEL --local-dir {path}"
        );
    }
    let model_config = ModelConfig::load(path)?;
    let family = model_config.family();
    let mut problems = Problems::default();
    let most = match family {
        Family::Bert => {
            let keys = KeyNames { text: config.data.key_names().text, ..KeyNames::default() };
            let (data, model) = (&config.data, &config.model);
            let only = [
                ("model.split_fused", model.split_fused),
                ("model.from_scratch", model.from_scratch),
                ("data.chat", data.chat),
                ("data.packing", data.packing),
                ("data.turns", data.turns != Turns::All),
                ("data.date", data.date.is_some()),
                ("data.too_long", data.too_long != TooLong::Truncate),
                ("data.prompt, response, messages, choices or answer", data.key_names() != keys),
                ("training.activation_checkpointing", config.training.activation_checkpointing),
                ("evaluation.exact_match", config.evaluation.exact_match),
            ];
            for (key, given) in only {
                if given {
                    problems.push(key, "is for decoders; the model is a classifier (model_type bert)");
                }
            }
            config.set_default_modules(&["classifier"]);
            CLASSIFIER_TOKENS
        }
        Family::Decoder(architecture) => {
            let (data, model) = (&config.data, &config.model);
            let only = [
                ("model.new_head", model.new_head),
                ("data.label", data.label != Column::Auto),
                ("data.text_pair", data.text_pair != Column::Auto),
                ("data.header", data.header != Header::Auto),
                ("data.skip_unlabelled", data.skip_unlabelled),
                ("data.format", data.format.is_some()),
                ("training.label_smoothing", config.training.label_smoothing != 0.0),
                ("training.class_weights", config.training.class_weights.is_some()),
            ];
            for (key, given) in only {
                if given {
                    let name = architecture.model_type();
                    problems
                        .push(key, format!("is for classifiers; the model is a decoder (model_type {name})"));
                }
            }
            if config.lora.is_some() {
                let adapted = [
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
            DECODER_TOKENS
        }
    };
    let config = problems.into_result(config)?;
    let default = most.min(usize::try_from(model_config.max_positions()).unwrap_or(most));
    Ok((family, *config.data.max_tokens.get_or_insert(default)))
}
