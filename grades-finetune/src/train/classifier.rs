//! Training a classifier on labelled sentences.

use std::path::{Path, PathBuf};

use anyhow::Result;
use grades_lora::LinearLayers;
use tch::nn::VarStore;
use tch::{Device, Kind, Reduction, Tensor};

use super::evaluate::evaluate;
use super::task::{Micro, Optimizer, Part, Task};
use crate::config::RunConfig;
use crate::data::{Dataset, Labels, Limits, Sampler, SamplerOptions, Tokenizer, read};
use crate::records::Evaluation;
use grades_models::flops::{BatchShape, Products};
use grades_models::{BertClassifier, LoadOptions};

/// A classifier with its data.
pub(super) struct Classifier {
    model: BertClassifier,
    fresh: Vec<String>,
    labels: Labels,
    training: Dataset,
    sampler: Sampler,
    eval: Option<(Dataset, Sampler)>,
    test: Option<(Dataset, Sampler)>,
    max_tokens: usize,
}

impl Classifier {
    pub(super) fn load(config: &RunConfig, device: Device, max_tokens: usize) -> Result<Self> {
        let seed = config.training.seed;
        let records = read(&config.data.train, &config.data.source())?;
        let labels = Labels::from_records(&records)?;
        let options = LoadOptions {
            labels: Some(labels.names().to_vec()),
            new_head: config.model.new_head,
            device,
            kind: config.model.kind.kind(),
            seed,
        };
        let (model, loaded) = BertClassifier::load(&config.model.path, options)?;
        // The model's own order of the labels counts, where it has one.
        let labels = Labels::from_names(model.labels().to_vec())?;
        let limits =
            Limits { max_tokens, max_positions: model.max_positions(), vocab_size: model.vocab_size() };
        let tokenizer = Tokenizer::load(&config.model.path.join("tokenizer.json"), limits)?;
        let training = Dataset::new(&records, &labels, &tokenizer)?;
        let part = |path: &Option<PathBuf>| -> Result<Option<(Dataset, Sampler)>> {
            let Some(path) = path else { return Ok(None) };
            let dataset = Dataset::new(&read(path, &config.data.source())?, &labels, &tokenizer)?;
            let sampler = Sampler::new(&dataset, SamplerOptions::default())?;
            Ok(Some((dataset, sampler)))
        };
        let (eval, test) = (part(&config.data.eval)?, part(&config.data.test)?);
        let options =
            SamplerOptions { batch_size: config.training.batch_size, seed, bucket: config.data.bucket };
        let sampler = Sampler::new(&training, options)?;
        Ok(Self { model, fresh: loaded.fresh, labels, training, sampler, eval, test, max_tokens })
    }
}

impl Task for Classifier {
    fn store(&self) -> &VarStore {
        self.model.var_store()
    }

    fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        self.model.layers_mut()
    }

    fn adapter_type(&self) -> &'static str {
        "SEQ_CLS"
    }

    fn fresh(&self) -> &[String] {
        &self.fresh
    }

    fn labels(&self) -> Option<&[String]> {
        Some(self.model.labels())
    }

    fn device(&self) -> Device {
        self.model.device()
    }

    fn description(&self) -> String {
        format!("{} examples, {} labels", self.training.len(), self.labels.len())
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.fresh.is_empty() {
            notes.push(format!("drawn afresh, not in the files: {}", self.fresh.join(", ")));
        }
        if self.training.truncated() > 0 {
            let (cut, limit) = (self.training.truncated(), self.max_tokens);
            notes.push(format!(
                "{cut} of {} training sentences are cut at {limit} tokens",
                self.training.len()
            ));
        }
        notes
    }

    fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    fn examples(&self, batch: &[usize]) -> usize {
        batch.len()
    }

    fn weight(&self, batch: &[usize]) -> usize {
        batch.len()
    }

    fn accumulate(
        &self,
        batch: &[usize],
        micro: Micro,
        optimizer: &mut Optimizer,
    ) -> Result<(Tensor, usize)> {
        let size = batch.len();
        let batch = self.training.collate(batch, self.model.device())?;
        let logits = self.model.forward(&batch.ids, &batch.mask, true)?.f_to_kind(Kind::Float)?;
        let mean = logits.f_cross_entropy_loss(&batch.labels, None::<&Tensor>, Reduction::Mean, -100, 0.0)?;
        // Together the mean over all examples of the step, however they are spread over batches.
        let share = size as f64 / micro.step_weight as f64;
        optimizer.backward_accumulate(&mean, share)?;
        Ok((mean.f_detach()?.f_mul_scalar(share)?, batch.tokens))
    }

    fn shape(&self, batch: &[usize]) -> BatchShape {
        let lengths = batch.iter().filter_map(|&index| self.training.tokens(index)).map(<[u32]>::len);
        BatchShape::new(batch.len(), lengths.max().unwrap_or(0), 0)
    }

    fn products(&self) -> Products {
        self.model.products()
    }

    fn has_accuracy(&self) -> bool {
        self.eval.is_some()
    }

    fn evaluate(&self, part: Part, batch_size: usize) -> Result<Option<Evaluation>> {
        let part = match part {
            Part::Eval => &self.eval,
            Part::Test => &self.test,
        };
        part.as_ref()
            .map(|(dataset, sampler)| evaluate(&self.model, dataset, sampler, batch_size))
            .transpose()
    }

    fn save(&self, dir: &Path) -> Result<()> {
        Ok(self.model.save(dir)?)
    }

    fn truncated(&self) -> usize {
        self.training.truncated()
    }

    fn skipped(&self) -> Option<usize> {
        None
    }
}
