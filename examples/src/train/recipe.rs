//! The recipe itself, top to bottom.

use std::io::BufWriter;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use grades::{FreezeEvent, FreezeLog, FreezingConfig, FreezingOptimizer, StatisticsLog, StepReport};
use tch::{Device, Kind, Tensor};

use super::batches::Batches;
use super::classifier::Classifier;
use super::decoder::DecoderTask;
use super::early_stopping::EarlyStopping;
use super::evals::{EvalLog, EvalRecord};
use super::evaluate::Evaluation;
use super::fit::fit;
use super::folder::RunFolder;
use super::interrupt::Interrupt;
use super::log::{StepLog, StepRecord};
use super::lora::LoraTraining;
use super::memory::{peak_memory, resident_memory};
use super::never::Never;
use super::optimizer::build_optimizer;
use super::progress::{Progress, Standing};
use super::schedule::LearningRate;
use super::summary::Summary;
use super::task::{Micro, Optimizer, Part, Task};
use crate::config::{Metric, RunConfig};
use crate::flops::FlopMeter;
use crate::model::Family;
use crate::report::write_run_report;
use crate::tensorboard::TensorBoard;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What is in `summary.json`.
    pub summary: Summary,
    /// What went wrong without ending the run, such as a log that could not be written.
    pub warnings: Vec<String>,
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

    let family = Family::of(&config.model.path)?;
    let mut config = config.clone();
    let max_tokens = fit(&mut config, family)?;
    let config = &config;
    let mut task: Box<dyn Task> = match family {
        Family::Bert => Box::new(Classifier::load(config, device, max_tokens)?),
        Family::Decoder(_) => Box::new(DecoderTask::load(config, device, max_tokens)?),
    };
    let sampler = task.sampler().clone();
    let batches = Batches::new(&sampler, config.training.accumulate, config.training.epochs);
    let longest = config.training.max_steps.unwrap_or(u64::MAX).min(batches.steps());
    let planned = ((config.training.share * longest as f64).round() as u64).clamp(1, longest.max(1));
    let rate = LearningRate::new(&config.schedule, config.optimizer.lr, planned);

    let base = config.model.path.display().to_string();
    let begin = |lora| LoraTraining::begin(lora, task.as_mut(), &base);
    let lora = config.lora.as_ref().map(begin).transpose()?;
    if let Some(stopping) = &config.early_stopping
        && stopping.metric == Metric::Accuracy
        && !task.has_accuracy()
    {
        bail!(
            "early_stopping.metric = \"accuracy\": evaluations of these examples give none; choose \"loss\""
        );
    }
    let stopping = config.early_stopping.map(|stopping| EarlyStopping::new(stopping, task.store()));
    let freezing = config.freezing.clone().unwrap_or_else(|| FreezingConfig::with_policy(Never));
    let optimizer = build_optimizer(&config.optimizer, task.store())?;
    let optimizer = FreezingOptimizer::new(optimizer, task.store(), &freezing, planned)?;

    // Nothing is written before all that can be wrong with the input has been found.
    let folder = match &config.output.name {
        Some(name) => RunFolder::create(&config.output.folder, name)?,
        None => RunFolder::create_numbered(&config.output.folder, name)?,
    };
    folder.write("config.toml", &toml::to_string_pretty(config).context("writing the configuration")?)?;
    let freezes = folder.file("freezes.jsonl").display().to_string();
    let optimizer = optimizer.with_observer(FreezeLog::new(freezes, folder.create_file("freezes.jsonl")?));
    let statistics = folder.file("statistics.jsonl").display().to_string();
    let writer = BufWriter::new(folder.create_file("statistics.jsonl")?);
    let statistics = StatisticsLog::start(statistics, writer, optimizer.components())?;
    let optimizer = optimizer.with_observer(statistics);
    let events = folder.file("tensorboard");
    let open = || TensorBoard::open(&events, 1, optimizer.components());
    let tensorboard =
        config.output.tensorboard.then(open).transpose().context("cannot write for TensorBoard")?;
    let optimizer = match &tensorboard {
        Some(tensorboard) => optimizer.with_observer(tensorboard.clone()),
        None => optimizer,
    };
    let steps = BufWriter::new(folder.create_file("steps.jsonl")?);
    let evals = BufWriter::new(folder.create_file("evals.jsonl")?);
    let components = optimizer.components().len();
    let progress = Progress::new(planned, components);
    progress.line(&format!(
        "{}, {planned} steps, {components} components on {device:?}; results in {}",
        task.description(),
        folder.path().display()
    ));
    if let Some(lora) = &lora {
        progress.line(&lora.describe(task.as_ref()));
    }
    if config.freezing.is_none() {
        progress.line("nothing freezes: there is no [freezing] table (--freezing adds the automatic policy)");
    }
    for note in task.notes() {
        progress.line(&note);
    }

    let mut run = Run {
        config,
        flops: FlopMeter::new(task.products()),
        task,
        lora,
        optimizer,
        rate,
        stopping,
        evals: EvalLog::new(evals),
        begun: Instant::now(),
        log: StepLog::new(steps, if device == Device::Cpu { 1 } else { 10 })
            .with_tensorboard(tensorboard.clone()),
        tensorboard,
        progress,
        planned,
        seconds: Duration::ZERO,
        examples: 0,
        tokens: 0,
        eval_seconds: 0.0,
        validation_seconds: 0.0,
        validations: 0,
        freezes: Vec::new(),
    };
    let ended = run.steps(&batches, interrupt)?;
    run.log.fetch()?;
    run.finite_loss()?;
    if ended != "interrupted" {
        run.restore_best()?;
    }
    run.progress.finish();
    if ended != "interrupted" {
        run.optimizer.put_averages()?;
    }

    match &run.lora {
        Some(lora) => lora.save(run.task.as_ref(), &folder)?,
        None => {
            let model_folder = folder.file("model");
            let saved = run.task.save(&model_folder);
            saved.with_context(|| format!("saving the model in {}", model_folder.display()))?;
        }
    }
    let evaluation = run.evaluate(Part::Eval)?;
    run.tell_evaluation(evaluation, true, None);
    let tested = run.evaluate(Part::Test)?;
    let mut summary = run.summary(ended, start, &folder);
    summary.take_eval(evaluation);
    summary.take_test(tested);
    summary.wall_seconds = start.elapsed().as_secs_f64();
    folder.write("summary.json", &(serde_json::to_string_pretty(&summary)? + "\n"))?;
    let mut warnings = run.warnings();
    if config.output.report
        && let Err(error) = write_run_report(folder.path())
    {
        warnings.push(format!("there is no report.html: {error:#}"));
    }
    Ok(Outcome { summary, warnings })
}

/// A run under way.
struct Run<'a> {
    config: &'a RunConfig,
    task: Box<dyn Task>,
    /// The adapters, when not all of the model trains.
    lora: Option<LoraTraining>,
    optimizer: Optimizer,
    rate: LearningRate,
    stopping: Option<EarlyStopping>,
    flops: FlopMeter,
    evals: EvalLog<BufWriter<std::fs::File>>,
    /// When the first step began.
    begun: Instant,
    log: StepLog<BufWriter<std::fs::File>>,
    tensorboard: Option<TensorBoard>,
    progress: Progress,
    planned: u64,
    /// Time in steps.
    seconds: Duration,
    /// Examples in steps.
    examples: usize,
    /// Tokens in steps.
    tokens: usize,
    eval_seconds: f64,
    /// Those between steps alone, and how many they were.
    validation_seconds: f64,
    validations: u64,
    freezes: Vec<FreezeEvent>,
}

impl Run<'_> {
    /// All steps, until one of the ends is reached; returns which.
    fn steps(&mut self, batches: &Batches<'_>, interrupt: &Interrupt) -> Result<&'static str> {
        let planned = usize::try_from(self.planned).unwrap_or(usize::MAX);
        let every = self.config.training.eval_every.steps(batches.epoch());
        self.begun = Instant::now();
        for (epoch, step_batches) in batches.iter().take(planned) {
            let report = self.step(epoch, &step_batches)?;
            if report.should_stop {
                self.validate_last()?;
                return Ok(if report.frozen == report.total { "all-frozen" } else { "enough-frozen" });
            }
            if interrupt.is_asked() {
                self.progress.line("interrupted: saving what is trained so far");
                return Ok("interrupted");
            }
            // What the last step leads to is evaluated after the run.
            let due =
                every.is_some_and(|every| report.step.is_multiple_of(every)) && report.step < self.planned;
            if due && self.validate()? {
                return Ok("early-stopped");
            }
        }
        self.validate_last()?;
        Ok("all-steps")
    }

    /// An evaluation between steps; whether the run is to end with it.
    fn validate(&mut self) -> Result<bool> {
        let start = Instant::now();
        let Some(evaluation) = self.evaluate(Part::Eval)? else { return Ok(false) };
        let step = self.optimizer.steps();
        let verdict = self.stopping.as_mut().map(|stopping| stopping.take(step, &evaluation)).transpose()?;
        // Keeping the best weights is part of what it costs.
        let seconds = start.elapsed().as_secs_f64();
        self.validation_seconds += seconds;
        self.eval_seconds += seconds - evaluation.seconds;
        self.validations += 1;
        self.tell_evaluation(Some(evaluation), false, verdict.map(|verdict| verdict.is_best));
        self.progress.line(&format!("step {step}: eval {}", evaluation.text()));
        Ok(verdict.is_some_and(|verdict| verdict.stop))
    }

    /// With early stopping, lets the last weights be the best ones, too.
    fn validate_last(&mut self) -> Result<()> {
        let step = self.optimizer.steps();
        if self.stopping.as_ref().is_some_and(|stopping| !stopping.has_seen(step)) {
            self.validate()?;
        }
        Ok(())
    }

    /// With early stopping, ends the run with the weights of its best evaluation.
    fn restore_best(&mut self) -> Result<()> {
        let Some(stopping) = &mut self.stopping else { return Ok(()) };
        if let Some(step) = stopping.restore()? {
            if let Some(lora) = &self.lora {
                lora.unmerge(self.task.as_mut())?;
            }
            self.progress.line(&format!("the weights of step {step}, the best evaluation, are put back"));
        }
        Ok(())
    }

    /// A line of `evals.jsonl`.
    fn tell_evaluation(&mut self, evaluation: Option<Evaluation>, is_final: bool, best: Option<bool>) {
        let Some(evaluation) = evaluation else { return };
        self.evals.push(&EvalRecord {
            step: self.optimizer.steps(),
            is_final,
            best,
            train_seconds: self.seconds.as_secs_f64(),
            validation_seconds: self.validation_seconds,
            wall_seconds: self.begun.elapsed().as_secs_f64(),
            flops: self.flops.total(),
            evaluation,
        });
    }

    /// One optimizer step over one or several batches.
    fn step(&mut self, epoch: u64, batches: &[Vec<usize>]) -> Result<StepReport> {
        let start = Instant::now();
        let step = self.optimizer.steps() + 1;
        let learning_rate = self.rate.at(step);
        self.optimizer.set_lr(learning_rate)?;
        self.optimizer.zero_grad()?;
        let examples: usize = batches.iter().map(|batch| self.task.examples(batch)).sum();
        let step_weight = batches.iter().map(|batch| self.task.weight(batch)).sum();
        let mut tokens = 0;
        let mut losses = Vec::with_capacity(batches.len());
        for (place, batch) in batches.iter().enumerate() {
            let micro = Micro { step_weight, step, place };
            let (loss, read) = self.task.accumulate(batch, micro, &mut self.optimizer)?;
            losses.push(loss);
            tokens += read;
        }
        if self.config.training.clip_norm > 0.0 {
            self.optimizer.clip_grad_norm(self.config.training.clip_norm)?;
        }
        let report = self.optimizer.step()?;
        if let Some(lora) = &mut self.lora {
            self.progress.merged(step, &lora.after_step(self.task.as_mut(), &report)?);
        }
        let flops = batches.iter().map(|batch| self.flops.step(self.task.shape(batch))).sum();
        if !report.events.is_empty() {
            self.flops.change(self.task.products());
        }
        self.seconds += start.elapsed();
        self.examples += examples;
        self.tokens += tokens;
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
            flops,
            seconds,
            cooling: report.cooling,
            frozen: report.frozen,
            memory_bytes: resident_memory(),
            training_bytes: self.optimizer.memory().total(),
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

    fn evaluate(&mut self, part: Part) -> Result<Option<Evaluation>> {
        let evaluation = self.task.evaluate(part, self.config.training.eval_batch_size)?;
        self.eval_seconds += evaluation.map_or(0.0, |evaluation| evaluation.seconds);
        if let (Part::Eval, Some(tensorboard), Some(evaluation)) = (part, &self.tensorboard, &evaluation) {
            tensorboard.evaluation(self.optimizer.steps(), evaluation.loss, evaluation.accuracy);
        }
        Ok(evaluation)
    }

    fn summary(&self, ended: &'static str, start: Instant, folder: &RunFolder) -> Summary {
        let train_seconds = self.seconds.as_secs_f64();
        Summary {
            ended,
            wall_seconds: start.elapsed().as_secs_f64(),
            train_seconds,
            steps: self.optimizer.steps(),
            planned_steps: self.planned,
            examples: self.examples,
            examples_per_second: self.examples as f64 / train_seconds.max(f64::MIN_POSITIVE),
            components_frozen: self.optimizer.tracker().frozen(),
            components_total: self.optimizer.tracker().total(),
            first_freeze: self.freezes.first().map(|event| event.step),
            last_freeze: self.freezes.last().map(|event| event.step),
            final_train_loss: self.log.last_loss(),
            truncated: self.task.truncated(),
            skipped: self.task.skipped(),
            tokens_per_second: self
                .task
                .skipped()
                .map(|_| self.tokens as f64 / train_seconds.max(f64::MIN_POSITIVE)),
            eval_loss: None,
            eval_accuracy: None,
            eval_accuracy_per_byte: None,
            eval_perplexity: None,
            eval_exact_match: None,
            test_loss: None,
            test_accuracy: None,
            test_accuracy_per_byte: None,
            test_perplexity: None,
            test_exact_match: None,
            eval_text: None,
            test_text: None,
            eval_seconds: self.eval_seconds,
            validation_seconds: self.validation_seconds,
            validations: self.validations,
            best_step: self.stopping.as_ref().and_then(EarlyStopping::best_step),
            restored_step: self.stopping.as_ref().and_then(EarlyStopping::restored),
            flops: self.flops.total(),
            flops_without_freezing: self.flops.without_freezing(),
            peak_memory_bytes: peak_memory(),
            optimizer_state_bytes: self.optimizer.memory().optimizer_state,
            device: format!("{:?}", self.task.device()).to_lowercase(),
            folder: folder.path().to_path_buf(),
        }
    }

    /// What went wrong without ending the run.
    fn warnings(&mut self) -> Vec<String> {
        let observers = self.optimizer.take_observer_errors();
        let steps = self.log.finish().err();
        let events = self.tensorboard.as_ref().and_then(TensorBoard::take_error);
        let events = events.map(|error| format!("the files for TensorBoard are incomplete: {error}"));
        let logs = steps.into_iter().chain(self.evals.take_error()).map(|error| format!("{error:#}"));
        observers.iter().map(ToString::to_string).chain(logs).chain(events).collect()
    }
}
