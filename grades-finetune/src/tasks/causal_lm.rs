//! Causal language modelling: a decoder trained on texts, exchanges or conversations.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use grades_lora::LinearLayers;
use grades_models::Model;
use grades_models::decoder::{Backward, Decoder, LoadOptions, LoadReport};
use grades_models::flops::{BatchShape, Matmuls};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::batch::{Batch, BatchSize, BatchTensors, MicroBatch};
use super::begin::{BatchRows, begin_decoder};
use super::evaluate_decoder::{DecoderEvaluation, evaluate_decoder, fill_evaluation, metrics};
use super::optimizer::Optimizer;
use super::share::Share;
use super::task::{Evaluated, Split, Task, TaskInfo};
use crate::cache::{ActivationCache, CacheLayout, RowSet};
use crate::config::{EvaluationConfig, RunConfig};
use crate::data::sequence::{
    self, ChatTemplate, EncodeOptions, Encoder, Sequence, Sequences, Vocabulary, collate, read_examples, rows,
};
use crate::data::{Sampler, SamplerOptions};

/// A decoder with its data.
pub(super) struct CausalLm {
    info: TaskInfo,
    model: Decoder,
    encoder: Encoder,
    training: Sequences,
    /// The sequences of each row of a batch.
    rows: Vec<Vec<usize>>,
    sampler: Sampler,
    eval: Option<Sequences>,
    test: Option<Sequences>,
    evaluation: EvaluationConfig,
    activation_checkpointing: bool,
    seed: u64,
}

impl CausalLm {
    /// Loads the model and its data.
    pub(super) fn load(config: &RunConfig, device: Device, max_tokens: usize) -> Result<Self> {
        let path = &config.model.path;
        let names = config.data.key_names();
        let examples = read_examples(&config.data.train, &names)?;
        let options = LoadOptions {
            device,
            dtype: config.model.dtype.kind(),
            autocast: config.model.autocast,
            split_fused: config.model.split_fused,
        };
        let (mut model, loaded) = if config.model.from_scratch {
            (Decoder::draw(path, options, config.training.seed)?, LoadReport::default())
        } else {
            Decoder::load(path, options)?
        };
        if let Some(lora) = &config.lora {
            model.prepare_for(&lora.config)?;
        }
        let encoder = encoder(&model, config, max_tokens)?;
        let training = encoder.encode(&examples)?;
        let split = |path: &Option<PathBuf>| -> Result<Option<Sequences>> {
            let Some(path) = path else { return Ok(None) };
            Ok(Some(encoder.encode(&read_examples(path, &names)?)?))
        };
        let (eval, test) = (split(&config.data.eval)?, split(&config.data.test)?);
        let lengths = training.lengths();
        let rows = rows(&lengths, config.data.packing.then_some(max_tokens));
        let length = |row: &Vec<usize>| row.iter().filter_map(|&index| lengths.get(index)).sum();
        let order = SamplerOptions {
            batch_size: config.training.batch_size,
            seed: config.training.seed,
            bucket: config.data.bucket,
        };
        let sampler = Sampler::from_lengths(rows.iter().map(length).collect(), order)?;
        let mut notes = vec![sequence::describe(&examples, &training, &encoder)?];
        notes.extend(notes_on_weights(&loaded, config.model.split_fused));
        notes.extend(notes_on_lengths(&training, max_tokens));
        let info = TaskInfo {
            description: describe(&training, rows.len()),
            notes,
            peft_task_type: "CAUSAL_LM",
            metrics: eval.as_ref().map(|eval| metrics(eval, &config.evaluation)).unwrap_or_default(),
            truncated: training.truncated,
            skipped: Some(training.skipped),
            ..TaskInfo::default()
        };
        Ok(Self {
            info,
            model,
            encoder,
            training,
            rows,
            sampler,
            eval,
            test,
            evaluation: config.evaluation,
            activation_checkpointing: config.training.activation_checkpointing,
            seed: config.training.seed,
        })
    }

    /// Returns the sequences of these rows.
    fn rows_of(&self, indices: &[usize]) -> Vec<Vec<&Sequence>> {
        let rows = indices.iter().filter_map(|&row| self.rows.get(row));
        rows.map(|row| row.iter().filter_map(|&index| self.training.list.get(index)).collect()).collect()
    }
}

/// Returns the counts of a batch of these rows, and the tokens of its longest row.
fn size_of(rows: &[Vec<&Sequence>]) -> (BatchSize, usize) {
    let sequences = || rows.iter().flatten();
    let targets = sequences().map(|sequence| sequence.target_count()).sum();
    let lengths = || rows.iter().map(|row| row.iter().map(|sequence| sequence.ids.len()).sum::<usize>());
    let longest = lengths().max().unwrap_or(0);
    let shape = BatchShape::new(rows.len(), longest, targets);
    (BatchSize { examples: sequences().count(), targets, tokens: lengths().sum(), shape }, longest)
}

/// Makes the encoder of a model's examples.
///
/// # Errors
///
/// When the tokenizer or the chat template cannot be read, or `max_tokens` does not go with the model.
pub(super) fn encoder(model: &Decoder, config: &RunConfig, max_tokens: usize) -> Result<Encoder> {
    let path = &config.model.path;
    if !i64::try_from(max_tokens).is_ok_and(|tokens| (2..=model.max_positions()).contains(&tokens)) {
        let longest = model.max_positions();
        bail!("data.max_tokens = {max_tokens}: expected 2 to {longest}, the positions of the model");
    }
    let encoder = Encoder {
        vocabulary: Vocabulary::load(&path.join("tokenizer.json"), model.vocab_size())?,
        template: ChatTemplate::load(path)?.map(|template| template.with_date(config.data.date)),
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
    Ok(encoder)
}

/// Returns the lengths of the choices of all questions, in their order.
fn choice_lengths(sequences: &Sequences) -> Vec<usize> {
    let choices = sequences.questions.iter().flat_map(|question| &question.choices);
    choices.map(|choice| choice.sequence.ids.len()).collect()
}

/// Describes the training data in a few words.
fn describe(training: &Sequences, rows: usize) -> String {
    let sequences = training.len();
    let tokens: usize = training.lengths().iter().sum();
    let packed = if rows < sequences { format!(" in {rows} rows") } else { String::new() };
    format!("{sequences} sequences{packed}, {tokens} tokens")
}

/// Notes what the files have besides this model, and their fused matrices.
fn notes_on_weights(loaded: &LoadReport, split_fused: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !loaded.ignored.is_empty() {
        notes.push(format!("in the files, but not of this model: {}", loaded.ignored.join(", ")));
    }
    if loaded.untied {
        let reason = "the files have an output matrix (lm_head.weight) that differs from the embedding";
        notes.push(format!("not tied, though \"tie_word_embeddings\" is true: {reason}"));
    }
    if let Some(first) = loaded.fused.first() {
        let parts: Vec<String> =
            first.parts.iter().map(|(name, rows)| format!("{rows} rows of {name}")).collect();
        let effect = if split_fused {
            "each part is a component of its own"
        } else {
            "each is one component; model.split_fused = true makes one of each part"
        };
        let (count, name, parts) = (loaded.fused.len(), &first.name, parts.join(", "));
        notes.push(format!("{count} fused matrices, such as {name} with {parts}: {effect}"));
    }
    notes
}

/// Notes how many training examples are too long.
fn notes_on_lengths(training: &Sequences, max_tokens: usize) -> Vec<String> {
    let (all, Sequences { truncated, skipped, .. }) = (training.len(), training);
    let mut notes = Vec::new();
    if *truncated > 0 {
        notes.push(format!("{truncated} of {all} training examples are cut at {max_tokens} tokens"));
    }
    if *skipped > 0 {
        notes.push(format!("{skipped} training examples beyond {max_tokens} tokens are left out"));
    }
    notes
}

impl Task for CausalLm {
    fn info(&self) -> &TaskInfo {
        &self.info
    }

    fn store(&self) -> &VarStore {
        self.model.var_store()
    }

    fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        self.model.layers_mut()
    }

    fn model(&self) -> &dyn Model {
        &self.model
    }

    fn cache_layout(&self, evaluates: bool) -> CacheLayout {
        let lengths = self.training.lengths();
        let row = |row: &Vec<usize>| row.iter().filter_map(|&index| lengths.get(index)).sum();
        let eval = self.eval.as_ref().filter(|_| evaluates);
        CacheLayout {
            training: self.rows.iter().map(row).collect(),
            evaluation: eval.map(Sequences::lengths).unwrap_or_default(),
            choices: eval.map(choice_lengths).unwrap_or_default(),
        }
    }

    fn set_input_detached(&mut self, detached: bool) {
        self.model.set_input_detached(detached);
    }

    fn matmuls(&self) -> Matmuls {
        self.model.matmuls(self.activation_checkpointing)
    }

    fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    fn batch_size(&self, indices: &[usize]) -> BatchSize {
        size_of(&self.rows_of(indices)).0
    }

    fn batch(&self, indices: &[usize], cache: &mut ActivationCache) -> Result<Batch> {
        let rows = self.rows_of(indices);
        let (size, longest) = size_of(&rows);
        let mut batch = collate(&rows, self.model.device())?;
        let batch_rows = BatchRows { set: RowSet::Training, rows: indices, length: longest };
        let cache_flops = begin_decoder(&self.model, &mut batch.tokens, batch_rows, cache)?;
        let tensors = BatchTensors::Sequences { tokens: batch.tokens, targets: batch.targets };
        Ok(Batch { tensors: Some(tensors), size, cache_flops })
    }

    fn backward(&self, batch: &Batch, micro: MicroBatch, optimizer: &mut Optimizer) -> Result<Tensor> {
        let (tokens, targets) = batch.sequences()?;
        let share = batch.size.targets as f64 / micro.step_targets as f64;
        // The parts add up to the mean over all targets of the step, however batches divide them.
        let scale = 1.0 / micro.step_targets as f64;
        // Odd multipliers: different steps and batches have different seeds.
        let seed = self.seed ^ micro.step.wrapping_mul(0xD134_2543_DE82_EF95);
        let seed = seed.wrapping_add((micro.index as u64).wrapping_mul(0xA076_1D64_78BD_642F));
        let options = Backward { scale, checkpointing: self.activation_checkpointing, dropout: Some(seed) };
        let pass = self.model.backward(tokens, targets, options)?;
        if micro.is_last {
            optimizer.begin_last_backward()?;
        }
        // The optimizer multiplies by the share, which the gradients already include.
        optimizer.backward_accumulate(&pass.rest.f_div_scalar(share)?, share)?;
        Ok(pass.loss.f_mul_scalar(scale)?)
    }

    fn evaluate(
        &self,
        split: Split,
        batch_size: usize,
        cache: &mut ActivationCache,
        share: &Share<'_>,
    ) -> Result<Evaluated> {
        let mut off = ActivationCache::off();
        let cache = if split == Split::Eval { cache } else { &mut off };
        let split = match split {
            Split::Eval => &self.eval,
            Split::Test => &self.test,
        };
        let Some(sequences) = split else { return Ok(Evaluated::NoData) };
        let vocabulary = &self.encoder.vocabulary;
        let options = DecoderEvaluation { vocabulary, batch_size, options: &self.evaluation };
        Ok(evaluate_decoder(&self.model, sequences, &options, cache, share)?.into())
    }

    fn fill_cache(&self, batch_size: usize, cache: &mut ActivationCache) -> Result<()> {
        let Some(eval) = &self.eval else { return Ok(()) };
        fill_evaluation(&self.model, eval, batch_size, cache)
    }

    fn save(&self, dir: &Path) -> Result<()> {
        Ok(self.model.save(dir)?)
    }
}
