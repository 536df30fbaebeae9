//! Classification: a BERT classifier trained on labelled sentences or pairs of them.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use grades_lora::LinearLayers;
use grades_models::bert::{BertClassifier, LoadOptions};
use grades_models::flops::{BatchShape, Matmuls};
use grades_models::{Error, Model};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::batch::{Batch, BatchSize, BatchTensors, MicroBatch};
use super::begin::{BatchRows, begin_classifier};
use super::classifier_encoder::ClassifierEncoder;
use super::criterion::Criterion;
use super::evaluate_classifier::{CLASSIFICATION_METRICS, evaluate, logits};
use super::optimizer::Optimizer;
use super::share::Share;
use super::task::{Evaluated, Split, Task, TaskInfo};
use crate::cache::{ActivationCache, CacheLayout, RowSet};
use crate::config::RunConfig;
use crate::data::{Dataset, Labels, Records, Sampler, SamplerOptions, describe, read};

/// A classifier with its data.
pub(super) struct Classification {
    info: TaskInfo,
    model: BertClassifier,
    training: Dataset,
    criterion: Criterion,
    sampler: Sampler,
    eval: Option<(Dataset, Sampler)>,
    test: Option<(Dataset, Sampler)>,
}

impl Classification {
    /// Loads the model and its data.
    pub(super) fn load(config: &RunConfig, device: Device, max_tokens: usize) -> Result<Self> {
        let seed = config.training.seed;
        let records = read(&config.data.train, &config.data.source())?;
        let labels = Labels::from_records(&records)?;
        let options = LoadOptions {
            labels: Some(labels.names().to_vec()),
            subset: true,
            new_head: config.model.new_head,
            device,
            dtype: config.model.dtype.kind(),
            autocast: config.model.autocast,
            seed,
        };
        let (model, loaded) = BertClassifier::load(&config.model.path, options).map_err(|error| {
            match error {
                // They end with the advice to ask for a new head.
                Error::Labels { .. } | Error::Unsupported { key: "problem_type", .. } => {
                    anyhow!("{error} (model.new_head = true)")
                }
                error => error.into(),
            }
        })?;
        // The model's own order of the labels wins, where it has one.
        let labels = Labels::from_names(model.labels().to_vec())?;
        let encoder = ClassifierEncoder::load(&model, &config.model.path, labels, max_tokens)?;
        let dataset = |records: &Records| encoder.dataset(records);
        let training = dataset(&records)?;
        let criterion = Criterion::new(&config.training, &encoder.labels, &training, device)?;
        let split = |path: &Option<PathBuf>| -> Result<Option<(Dataset, Sampler)>> {
            let Some(path) = path else { return Ok(None) };
            let dataset = dataset(&read(path, &config.data.source())?)?;
            let sampler = Sampler::new(&dataset, SamplerOptions::default())?;
            Ok(Some((dataset, sampler)))
        };
        let (eval, test) = (split(&config.data.eval)?, split(&config.data.test)?);
        let options =
            SamplerOptions { batch_size: config.training.batch_size, seed, bucket: config.data.bucket };
        let sampler = Sampler::new(&training, options)?;
        let mut notes = vec![describe(&records, &encoder.labels, &training)];
        if !loaded.fresh.is_empty() {
            notes.push(format!("drawn afresh, not in the files: {}", loaded.fresh.join(", ")));
        }
        if training.truncated() > 0 {
            let (cut, all) = (training.truncated(), training.len());
            notes.push(format!("{cut} of {all} training sentences are cut at {max_tokens} tokens"));
        }
        let info = TaskInfo {
            description: format!("{} examples, {} labels", training.len(), encoder.labels.len()),
            notes,
            peft_task_type: "SEQ_CLS",
            fresh_variables: loaded.fresh,
            labels: Some(model.labels().to_vec()),
            metrics: if eval.is_some() { CLASSIFICATION_METRICS.to_vec() } else { Vec::new() },
            truncated: training.truncated(),
            skipped: None,
        };
        Ok(Self { info, model, training, criterion, sampler, eval, test })
    }
}

impl Classification {
    /// Returns the counts of a batch of these examples, and the tokens of the longest.
    fn size_of(&self, indices: &[usize]) -> (BatchSize, usize) {
        let lengths = || indices.iter().filter_map(|&index| self.training.tokens(index)).map(<[u32]>::len);
        let longest = lengths().max().unwrap_or(0);
        let shape = BatchShape::new(indices.len(), longest, 0);
        (
            BatchSize { examples: indices.len(), targets: indices.len(), tokens: lengths().sum(), shape },
            longest,
        )
    }
}

impl Task for Classification {
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
        let evaluation = self.eval.as_ref().filter(|_| evaluates);
        CacheLayout {
            training: self.training.lengths(),
            evaluation: evaluation.map(|(dataset, _)| dataset.lengths()).unwrap_or_default(),
            choices: Vec::new(),
        }
    }

    fn set_input_detached(&mut self, _detached: bool) {
        // No classifier has an output matrix that is its embedding.
    }

    fn matmuls(&self) -> Matmuls {
        self.model.matmuls()
    }

    fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    fn batch_size(&self, indices: &[usize]) -> BatchSize {
        self.size_of(indices).0
    }

    fn batch(&self, indices: &[usize], cache: &mut ActivationCache) -> Result<Batch> {
        let (size, length) = self.size_of(indices);
        let batch = self.training.collate(indices, self.model.device())?;
        let rows = BatchRows { set: RowSet::Training, rows: indices, length };
        let (prefix, cache_flops) = begin_classifier(&self.model, &batch, rows, cache)?;
        Ok(Batch { tensors: Some(BatchTensors::Labelled { batch, prefix }), size, cache_flops })
    }

    fn backward(&self, batch: &Batch, micro: MicroBatch, optimizer: &mut Optimizer) -> Result<Tensor> {
        let (examples, prefix) = batch.labelled()?;
        let logits = logits(&self.model, examples, prefix, true)?;
        let mean = self.criterion.mean(&logits, &examples.labels)?;
        // The parts add up to the mean over all examples of the step, however batches divide them.
        let share = batch.size.targets as f64 / micro.step_targets as f64;
        if micro.is_last {
            optimizer.begin_last_backward()?;
        }
        optimizer.backward_accumulate(&mean, share)?;
        Ok(mean.f_detach()?.f_mul_scalar(share)?)
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
        let Some((dataset, sampler)) = split else { return Ok(Evaluated::NoData) };
        Ok(evaluate(&self.model, dataset, sampler, batch_size, cache, share)?.into())
    }

    fn fill_cache(&self, batch_size: usize, cache: &mut ActivationCache) -> Result<()> {
        let Some((dataset, sampler)) = &self.eval else { return Ok(()) };
        for rows in sampler.evaluation_order(batch_size) {
            let batch = dataset.collate(&rows, self.model.device())?;
            let length = rows.iter().filter_map(|&row| dataset.tokens(row)).map(<[u32]>::len).max();
            let rows = BatchRows { set: RowSet::Evaluation, rows: &rows, length: length.unwrap_or(0) };
            begin_classifier(&self.model, &batch, rows, cache)?;
        }
        Ok(())
    }

    fn save(&self, dir: &Path) -> Result<()> {
        Ok(self.model.save(dir)?)
    }
}
