//! Training a decoder on texts, exchanges or conversations.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use grades_lora::LinearLayers;
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::evaluate_decoder::{DecoderEvaluation, evaluate_decoder};
use super::task::{Micro, Optimizer, Part, Task};
use crate::config::RunConfig;
use crate::data::sequence::{
    ChatTemplate, EncodeOptions, Encoder, Sequences, Vocabulary, collate, read_examples, rows,
};
use crate::data::{Sampler, SamplerOptions};
use crate::records::Evaluation;
use grades_models::decoder::{Backward, Decoder, LoadOptions, LoadReport};
use grades_models::flops::{BatchShape, Products};

/// A decoder with its data.
pub(super) struct DecoderTask {
    model: Decoder,
    loaded: LoadReport,
    encoder: Encoder,
    training: Sequences,
    /// The sequences of each row of a batch.
    rows: Vec<Vec<usize>>,
    sampler: Sampler,
    eval: Option<Sequences>,
    test: Option<Sequences>,
    options: DecoderEvaluation,
    checkpointing: bool,
    split_fused: bool,
    seed: u64,
}

impl DecoderTask {
    pub(super) fn load(config: &RunConfig, device: Device, max_tokens: usize) -> Result<Self> {
        let path = &config.model.path;
        let names = config.data.key_names();
        let examples = read_examples(&config.data.train, &names)?;
        let options = LoadOptions {
            device,
            kind: config.model.kind.kind(),
            autocast: config.model.autocast,
            split_fused: config.model.split_fused,
        };
        let (model, loaded) = if config.model.from_scratch {
            (Decoder::draw(path, options, config.training.seed)?, LoadReport::default())
        } else {
            Decoder::load(path, options)?
        };
        if !i64::try_from(max_tokens).is_ok_and(|tokens| (2..=model.max_positions()).contains(&tokens)) {
            let longest = model.max_positions();
            bail!("data.max_tokens = {max_tokens}: expected 2 to {longest}, the positions of the model");
        }
        let encoder = Encoder {
            vocabulary: Vocabulary::load(&path.join("tokenizer.json"), model.vocab_size())?,
            template: ChatTemplate::load(path)?,
            end: model.stop_ids().first().and_then(|&id| u32::try_from(id).ok()),
            options: EncodeOptions {
                max_tokens,
                too_long: config.data.too_long,
                turns: config.data.turns,
                chat: config.data.chat,
            },
        };
        if let Some(end) = encoder.end.filter(|&end| i64::from(end) >= model.vocab_size()) {
            bail!(
                "{}: eos_token_id {end} is beyond the vocabulary of {} tokens",
                path.display(),
                model.vocab_size()
            );
        }
        let training = encoder.encode(&examples)?;
        let part = |path: &Option<PathBuf>| -> Result<Option<Sequences>> {
            let Some(path) = path else { return Ok(None) };
            Ok(Some(encoder.encode(&read_examples(path, &names)?)?))
        };
        let (eval, test) = (part(&config.data.eval)?, part(&config.data.test)?);
        let lengths = training.lengths();
        let rows = rows(&lengths, config.data.packing.then_some(max_tokens));
        let length = |row: &Vec<usize>| row.iter().filter_map(|&index| lengths.get(index)).sum();
        let order = SamplerOptions {
            batch_size: config.training.batch_size,
            seed: config.training.seed,
            bucket: config.data.bucket,
        };
        let sampler = Sampler::from_lengths(rows.iter().map(length).collect(), order)?;
        let options = DecoderEvaluation {
            exact_match: config.evaluation.exact_match,
            max_new_tokens: config.evaluation.max_new_tokens,
        };
        Ok(Self {
            model,
            loaded,
            encoder,
            training,
            rows,
            sampler,
            eval,
            test,
            options,
            checkpointing: config.training.checkpointing,
            split_fused: config.model.split_fused,
            seed: config.training.seed,
        })
    }

    /// The sequences of a batch's rows.
    fn sequences(&self, batch: &[usize]) -> impl Iterator<Item = usize> + '_ {
        let rows: Vec<usize> = batch.to_vec();
        rows.into_iter().filter_map(|row| self.rows.get(row)).flatten().copied()
    }
}

impl Task for DecoderTask {
    fn store(&self) -> &VarStore {
        self.model.var_store()
    }

    fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        self.model.layers_mut()
    }

    fn adapter_type(&self) -> &'static str {
        "CAUSAL_LM"
    }

    fn fresh(&self) -> &[String] {
        &[]
    }

    fn labels(&self) -> Option<&[String]> {
        None
    }

    fn device(&self) -> Device {
        self.model.device()
    }

    fn description(&self) -> String {
        let sequences = self.training.len();
        let tokens: usize = self.training.lengths().iter().sum();
        let packed =
            if self.rows.len() < sequences { format!(" in {} rows", self.rows.len()) } else { String::new() };
        format!("{sequences} sequences{packed}, {tokens} tokens")
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.loaded.ignored.is_empty() {
            notes.push(format!("in the files, but not of this model: {}", self.loaded.ignored.join(", ")));
        }
        if let Some(first) = self.loaded.fused.first() {
            let parts: Vec<String> =
                first.parts.iter().map(|(name, rows)| format!("{rows} rows of {name}")).collect();
            let effect = if self.split_fused {
                "each part is a component of its own"
            } else {
                "each is one component; model.split_fused = true makes one of each part"
            };
            notes.push(format!(
                "{} fused matrices, such as {} with {}: {effect}",
                self.loaded.fused.len(),
                first.name,
                parts.join(", ")
            ));
        }
        let (longest, all) = (self.encoder.options.max_tokens, self.training.len());
        if self.training.truncated > 0 {
            notes.push(format!(
                "{} of {all} training examples are cut at {longest} tokens",
                self.training.truncated
            ));
        }
        if self.training.skipped > 0 {
            notes.push(format!(
                "{} training examples beyond {longest} tokens are left out",
                self.training.skipped
            ));
        }
        notes
    }

    fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    fn examples(&self, batch: &[usize]) -> usize {
        self.sequences(batch).count()
    }

    fn weight(&self, batch: &[usize]) -> usize {
        let sequences = self.sequences(batch).filter_map(|index| self.training.list.get(index));
        sequences.map(|sequence| sequence.target_count()).sum()
    }

    fn accumulate(
        &self,
        batch: &[usize],
        micro: Micro,
        optimizer: &mut Optimizer,
    ) -> Result<(Tensor, usize)> {
        let rows: Vec<Vec<_>> = batch
            .iter()
            .filter_map(|&row| self.rows.get(row))
            .map(|row| row.iter().filter_map(|&index| self.training.list.get(index)).collect())
            .collect();
        let share = self.weight(batch) as f64 / micro.step_weight as f64;
        let batch = collate(&rows, self.model.device())?;
        // Together the mean over all tokens that are predicted in the step, however they are spread over batches.
        let scale = 1.0 / micro.step_weight as f64;
        // Odd multipliers: different steps and places have different seeds.
        let seed = self.seed ^ micro.step.wrapping_mul(0xD134_2543_DE82_EF95);
        let seed = seed.wrapping_add((micro.place as u64).wrapping_mul(0xA076_1D64_78BD_642F));
        let how = Backward { scale, checkpointing: self.checkpointing, dropout: Some(seed) };
        let pass = self.model.backward(&batch.tokens, &batch.targets, how)?;
        // The optimizer multiplies by the share, which is in the gradients already.
        optimizer.backward_accumulate(&pass.rest.f_div_scalar(share)?, share)?;
        Ok((pass.loss.f_mul_scalar(scale)?, batch.token_count))
    }

    fn shape(&self, batch: &[usize]) -> BatchShape {
        let tokens = |index: &usize| self.training.list.get(*index).map_or(0, |sequence| sequence.ids.len());
        let rows = batch.iter().filter_map(|&row| self.rows.get(row));
        let length = rows.map(|row| row.iter().map(tokens).sum::<usize>()).max().unwrap_or(0);
        BatchShape::new(batch.len(), length, self.weight(batch))
    }

    fn products(&self) -> Products {
        self.model.products(self.checkpointing)
    }

    fn has_accuracy(&self) -> bool {
        self.eval.as_ref().is_some_and(|eval| !eval.questions.is_empty())
    }

    fn evaluate(&self, part: Part, batch_size: usize) -> Result<Option<Evaluation>> {
        let part = match part {
            Part::Eval => &self.eval,
            Part::Test => &self.test,
        };
        part.as_ref()
            .map(|sequences| {
                evaluate_decoder(&self.model, sequences, &self.encoder.vocabulary, batch_size, self.options)
            })
            .transpose()
    }

    fn save(&self, dir: &Path) -> Result<()> {
        Ok(self.model.save(dir)?)
    }

    fn truncated(&self) -> usize {
        self.training.truncated
    }

    fn skipped(&self) -> Option<usize> {
        Some(self.training.skipped)
    }
}
