//! The recipe itself, top to bottom.

use std::io::BufWriter;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use grades::optim::InnerOptimizer;
use grades::{FreezeEvent, FreezeLog, FreezingConfig, FreezingOptimizer, StepReport};
use tch::{Device, Kind, Reduction, Tensor};

use super::batches::Batches;
use super::evaluate::{Evaluation, evaluate};
use super::folder::RunFolder;
use super::interrupt::Interrupt;
use super::log::{StepLog, StepRecord};
use super::lora::LoraTraining;
use super::memory::peak_memory;
use super::never::Never;
use super::optimizer::build_optimizer;
use super::progress::{Progress, Standing};
use super::schedule::LearningRate;
use super::summary::Summary;
use crate::config::RunConfig;
use crate::data::{Dataset, Labels, Limits, Sampler, SamplerOptions, Tokenizer, read};
use crate::model::{BertClassifier, LoadOptions};

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What is in `summary.json`.
    pub summary: Summary,
    /// What went wrong without ending the run, such as a log that could not be written.
    pub warnings: Vec<String>,
}

/// A dataset and the order in which it is evaluated.
struct Part {
    dataset: Dataset,
    sampler: Sampler,
}

/// Trains a model as configured; everything is written into a new run folder.
///
/// `name` is what the folder is called, numbered when it exists, unless the configuration has a name of its own.
///
/// # Errors
///
/// When a file is missing or wrong, the folder exists, a configuration does not fit the model or the data, or the
/// loss ceases to be a number. What was written by then stays.
pub fn train(config: &RunConfig, name: &str, interrupt: &Interrupt) -> Result<Outcome> {
    let start = Instant::now();
    let seed = config.training.seed;
    // torch takes its seed as a signed number; the bits are what counts.
    tch::manual_seed(seed.cast_signed());
    let device = config.model.device.device()?;

    let records = read(&config.data.train, &config.data.source())?;
    let labels = Labels::from_records(&records)?;
    let options = LoadOptions {
        labels: Some(labels.names().to_vec()),
        new_head: config.model.new_head,
        device,
        kind: config.model.kind.kind(),
        seed,
    };
    let (mut model, loaded) = BertClassifier::load(&config.model.path, options)?;
    // The model's own order of the labels counts, where it has one.
    let labels = Labels::from_names(model.labels().to_vec())?;
    let limits = Limits {
        max_tokens: config.data.max_tokens,
        max_positions: model.max_positions(),
        vocab_size: model.vocab_size(),
    };
    let tokenizer = Tokenizer::load(&config.model.path.join("tokenizer.json"), limits)?;
    let training = Dataset::new(&records, &labels, &tokenizer)?;
    let part = |path: &Option<std::path::PathBuf>| -> Result<Option<Part>> {
        let Some(path) = path else { return Ok(None) };
        let dataset = Dataset::new(&read(path, &config.data.source())?, &labels, &tokenizer)?;
        let sampler = Sampler::new(&dataset, SamplerOptions::default())?;
        Ok(Some(Part { dataset, sampler }))
    };
    let eval = part(&config.data.eval)?;
    let test = part(&config.data.test)?;

    let sampler = SamplerOptions { batch_size: config.training.batch_size, seed, bucket: config.data.bucket };
    let sampler = Sampler::new(&training, sampler)?;
    let batches = Batches::new(&sampler, config.training.accumulate, config.training.epochs);
    let planned = config.training.max_steps.unwrap_or(u64::MAX).min(batches.steps());
    let rate = LearningRate::new(&config.schedule, config.optimizer.lr, planned);

    let base = config.model.path.display().to_string();
    let begin = |lora| LoraTraining::begin(lora, &mut model, &loaded, &base);
    let lora = config.lora.as_ref().map(begin).transpose()?;
    let freezing = config.freezing.clone().unwrap_or_else(|| FreezingConfig::with_policy(Never));
    let optimizer = build_optimizer(&config.optimizer, model.var_store())?;
    let optimizer = FreezingOptimizer::new(optimizer, model.var_store(), &freezing, planned)?;

    // Nothing is written before all that can be wrong with the input has been found.
    let folder = match &config.output.name {
        Some(name) => RunFolder::create(&config.output.folder, name)?,
        None => RunFolder::create_numbered(&config.output.folder, name)?,
    };
    folder.write("config.toml", &toml::to_string_pretty(config).context("writing the configuration")?)?;
    let freezes = folder.file("freezes.jsonl").display().to_string();
    let optimizer = optimizer.with_observer(FreezeLog::new(freezes, folder.create_file("freezes.jsonl")?));
    let steps = BufWriter::new(folder.create_file("steps.jsonl")?);
    let components = optimizer.components().len();
    let progress = Progress::new(planned, components);
    progress.line(&format!(
        "{} examples, {} labels, {planned} steps, {components} components on {device:?}; results in {}",
        training.len(),
        labels.len(),
        folder.path().display()
    ));
    if let Some(lora) = &lora {
        progress.line(&lora.describe(&model));
    }
    if config.freezing.is_none() {
        progress.line("nothing freezes: there is no [freezing] table (--freezing adds the automatic policy)");
    }
    if !loaded.fresh.is_empty() {
        progress.line(&format!("drawn afresh, not in the files: {}", loaded.fresh.join(", ")));
    }
    if training.truncated() > 0 {
        let (cut, limit) = (training.truncated(), config.data.max_tokens);
        progress.line(&format!("{cut} of {} training sentences are cut at {limit} tokens", training.len()));
    }

    let mut run = Run {
        config,
        model,
        lora,
        optimizer,
        rate,
        log: StepLog::new(steps, if device == Device::Cpu { 1 } else { 10 }),
        progress,
        planned,
        seconds: Duration::ZERO,
        examples: 0,
        eval_seconds: 0.0,
        freezes: Vec::new(),
    };
    let ended = run.steps(&batches, &training, eval.as_ref(), interrupt)?;
    run.log.fetch()?;
    run.finite_loss()?;
    run.progress.finish();

    match &run.lora {
        Some(lora) => lora.save(&run.model, &folder)?,
        None => {
            let model_folder = folder.file("model");
            let saved = run.model.save(&model_folder);
            saved.with_context(|| format!("saving the model in {}", model_folder.display()))?;
        }
    }
    let evaluation = eval.as_ref().map(|part| run.evaluate(part)).transpose()?;
    let tested = test.as_ref().map(|part| run.evaluate(part)).transpose()?;
    let mut summary = run.summary(ended, &training, start, &folder);
    summary.take_eval(evaluation);
    summary.take_test(tested);
    summary.wall_seconds = start.elapsed().as_secs_f64();
    folder.write("summary.json", &(serde_json::to_string_pretty(&summary)? + "\n"))?;
    Ok(Outcome { summary, warnings: run.warnings() })
}

/// A run under way.
struct Run<'a> {
    config: &'a RunConfig,
    model: BertClassifier,
    /// The adapters, when not all of the model trains.
    lora: Option<LoraTraining>,
    optimizer: FreezingOptimizer<Box<dyn InnerOptimizer>>,
    rate: LearningRate,
    log: StepLog<BufWriter<std::fs::File>>,
    progress: Progress,
    planned: u64,
    /// Time in steps.
    seconds: Duration,
    /// Examples in steps.
    examples: usize,
    eval_seconds: f64,
    freezes: Vec<FreezeEvent>,
}

impl Run<'_> {
    /// All steps, until one of the ends is reached; returns which.
    fn steps(
        &mut self,
        batches: &Batches<'_>,
        training: &Dataset,
        eval: Option<&Part>,
        interrupt: &Interrupt,
    ) -> Result<&'static str> {
        let planned = usize::try_from(self.planned).unwrap_or(usize::MAX);
        for (epoch, step_batches) in batches.iter().take(planned) {
            let report = self.step(epoch, &step_batches, training)?;
            if report.should_stop {
                return Ok(if report.frozen == report.total { "all-frozen" } else { "enough-frozen" });
            }
            if interrupt.is_asked() {
                self.progress.line("interrupted: saving what is trained so far");
                return Ok("interrupted");
            }
            let every = self.config.training.eval_every;
            if let Some(part) = eval.filter(|_| every > 0 && report.step.is_multiple_of(every)) {
                let Evaluation { loss, accuracy, .. } = self.evaluate(part)?;
                self.progress
                    .line(&format!("step {}: eval accuracy {accuracy:.4}, loss {loss:.4}", report.step));
            }
        }
        Ok("all-steps")
    }

    /// One optimizer step over one or several batches.
    fn step(&mut self, epoch: u64, batches: &[Vec<usize>], training: &Dataset) -> Result<StepReport> {
        let start = Instant::now();
        let step = self.optimizer.steps() + 1;
        let learning_rate = self.rate.at(step);
        self.optimizer.set_lr(learning_rate)?;
        self.optimizer.zero_grad()?;
        let examples: usize = batches.iter().map(Vec::len).sum();
        let mut tokens = 0;
        let mut losses = Vec::with_capacity(batches.len());
        for indices in batches {
            let batch = training.collate(indices, self.model.device())?;
            tokens += batch.tokens;
            let logits = self.model.forward(&batch.ids, &batch.mask, true)?.f_to_kind(Kind::Float)?;
            let mean =
                logits.f_cross_entropy_loss(&batch.labels, None::<&Tensor>, Reduction::Mean, -100, 0.0)?;
            // Together the mean over all examples of the step, however they are spread over batches.
            let share = indices.len() as f64 / examples as f64;
            self.optimizer.backward_micro(&mean, share)?;
            losses.push(mean.f_detach()?.f_mul_scalar(share)?);
        }
        if self.config.training.clip_norm > 0.0 {
            self.optimizer.clip_grad_norm(self.config.training.clip_norm)?;
        }
        let report = self.optimizer.step()?;
        if let Some(lora) = &mut self.lora {
            self.progress.merged(step, &lora.after_step(&mut self.model, &report)?);
        }
        self.seconds += start.elapsed();
        self.examples += examples;
        self.freezes.extend(report.events.iter().filter(|event| event.is_freeze()).cloned());

        let seconds = self.seconds.as_secs_f64();
        let loss = Tensor::f_stack(&losses, 0)?.f_sum(Kind::Float)?;
        let record = StepRecord {
            step,
            epoch,
            loss: f64::NAN,
            learning_rate,
            grad_norm: report.grad_norm,
            examples,
            tokens,
            seconds,
            cooling: report.cooling,
            frozen: report.frozen,
        };
        self.log.push(record, loss)?;
        let loss = self.finite_loss()?;
        self.progress.freezes(&report.events);
        let examples_per_second = self.examples as f64 / seconds;
        let StepReport { frozen, cooling, .. } = report;
        self.progress.show(&Standing {
            step,
            loss,
            learning_rate,
            frozen,
            cooling,
            examples_per_second,
            seconds,
        });
        Ok(report)
    }

    /// The last loss that is known, if it is a number: nothing good comes of training on after one that is not.
    fn finite_loss(&self) -> Result<Option<f64>> {
        match self.log.last_loss() {
            Some(loss) if !loss.is_finite() => {
                let step = self.optimizer.steps();
                bail!("the loss is {loss} at step {step}; try a lower optimizer.lr or training.clip_norm")
            }
            loss => Ok(loss),
        }
    }

    fn evaluate(&mut self, part: &Part) -> Result<Evaluation> {
        let batch_size = self.config.training.eval_batch_size;
        let evaluation = evaluate(&self.model, &part.dataset, &part.sampler, batch_size)?;
        self.eval_seconds += evaluation.seconds;
        Ok(evaluation)
    }

    fn summary(
        &self,
        ended: &'static str,
        training: &Dataset,
        start: Instant,
        folder: &RunFolder,
    ) -> Summary {
        let train_seconds = self.seconds.as_secs_f64();
        Summary {
            ended,
            wall_seconds: start.elapsed().as_secs_f64(),
            train_seconds,
            steps: self.optimizer.steps(),
            planned_steps: self.planned,
            examples_per_second: self.examples as f64 / train_seconds.max(f64::MIN_POSITIVE),
            components_frozen: self.optimizer.tracker().frozen(),
            components_total: self.optimizer.tracker().total(),
            first_freeze: self.freezes.first().map(|event| event.step),
            last_freeze: self.freezes.last().map(|event| event.step),
            final_train_loss: self.log.last_loss(),
            truncated: training.truncated(),
            eval_loss: None,
            eval_accuracy: None,
            test_loss: None,
            test_accuracy: None,
            eval_seconds: self.eval_seconds,
            peak_memory_bytes: peak_memory(),
            optimizer_state_bytes: self.optimizer.memory().optimizer_state,
            device: format!("{:?}", self.model.device()).to_lowercase(),
            folder: folder.path().to_path_buf(),
        }
    }

    /// What went wrong without ending the run.
    fn warnings(&mut self) -> Vec<String> {
        let observers = self.optimizer.take_observer_errors();
        let steps = self.log.finish().err();
        observers.iter().map(ToString::to_string).chain(steps.map(|error| format!("{error:#}"))).collect()
    }
}
