//! The recipe itself, top to bottom.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use grades::tracker::{FreezeEvent, StepReport};
use grades::{FreezingConfig, FreezingOptimizer};
use tch::{Device, Kind, Tensor};

use super::batches::Batches;
use super::checkpoint::inputs;
use super::classifier::Classifier;
use super::cpu::cpu_seconds;
use super::decoder::DecoderTask;
use super::early_stopping::EarlyStopping;
use super::evals::EvalLog;
use super::fit::fit;
use super::folder::RunFolder;
use super::guard::Guard;
use super::interrupt::Interrupt;
use super::keeping::Keeping;
use super::log::StepLog;
use super::lora::LoraTraining;
use super::memory::resident_memory;
use super::never::Never;
use super::observing::observed;
use super::optimizer::build_optimizer;
use super::progress::{Progress, Standing};
use super::resume::{Built, Resume, Resumed};
use super::schedule::LearningRate;
use super::task::{Micro, Optimizer, Part, Task};
use crate::causes::with_causes;
use crate::config::RunConfig;
use crate::records::{
    ComponentCounts, EVALS, Evaluation, Metric, STEPS, Scores, StepMemory, StepRecord, StepWork, StopReason,
    Summary,
};
use crate::report::write_run_report;
use crate::state::FlopMeter;
use crate::tensorboard::TensorBoard;
use grades_models::Family;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What is in `summary.json`.
    pub summary: Summary,
    /// The run's folder.
    pub folder: PathBuf,
    /// What went wrong without ending the run, such as a log that could not be written.
    pub warnings: Vec<String>,
}

/// Trains a model as configured; everything is written into a new run folder.
///
/// `name` is what the folder is called, numbered when it exists, unless the configuration has a name of its own.
///
/// # Errors
///
/// When a file is missing or wrong, the folder exists, a configuration does not fit the model or the data; a
/// [`BadNumbers`](super::BadNumbers) when the loss or the gradients cease to be numbers. What was written by then stays.
pub fn train(config: &RunConfig, name: &str, interrupt: &Interrupt) -> Result<Outcome> {
    run(config, Begin::New(name), interrupt)
}

/// Goes on with a run from its newest whole checkpoint, or from its beginning where there is none; the result is that of
/// a run without a break. `None` when the run has ended.
///
/// # Errors
///
/// As [`train`]; also when the folder is no run's, another process is at it, the configuration or what it reads differs
/// in something that would change the result, or a checkpoint is of a newer version.
pub fn resume(config: &RunConfig, how: &Resume<'_>, interrupt: &Interrupt) -> Result<Option<Outcome>> {
    let mut fitted = config.clone();
    fit(&mut fitted, Family::of(&config.model.path)?)?;
    match Resumed::open(&fitted, how)? {
        Some(resumed) => run(config, Begin::Again(Box::new(resumed)), interrupt).map(Some),
        None => Ok(None),
    }
}

/// Where a run begins.
enum Begin<'a> {
    New(&'a str),
    Again(Box<Resumed>),
}

fn run(config: &RunConfig, begin: Begin<'_>, interrupt: &Interrupt) -> Result<Outcome> {
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
    let adapt = |lora| LoraTraining::begin(lora, task.as_mut(), &base);
    let mut lora = config.lora.as_ref().map(adapt).transpose()?;
    if let Some(stopping) = &config.early_stopping
        && stopping.metric == Metric::Accuracy
        && !task.has_accuracy()
    {
        bail!(
            "early_stopping.metric = \"accuracy\": evaluations of these examples give none; choose \"loss\""
        );
    }
    let mut stopping = config.early_stopping.map(|stopping| EarlyStopping::new(stopping, task.store()));
    let freezing = config.freezing.clone().unwrap_or_else(|| FreezingConfig::with_policy(Never));
    let optimizer = build_optimizer(&config.optimizer, task.store())?;
    let optimizer = FreezingOptimizer::new(optimizer, task.store(), &freezing, planned)?;

    let text = toml::to_string_pretty(config).context("writing the configuration")?;
    let inputs = inputs(config)?;
    let mut optimizer = optimizer;
    // Before anything is frozen again.
    let all = task.products();
    let mut warnings = Vec::new();
    let (earlier, notes) = match &begin {
        Begin::New(_) => (None, Vec::new()),
        Begin::Again(resumed) => {
            let built = Built {
                task: task.as_mut(),
                lora: lora.as_mut(),
                optimizer: &mut optimizer,
                hyperparameters: &config.optimizer,
            };
            warnings.extend_from_slice(resumed.warnings());
            resumed.restore(built, stopping.as_mut(), &inputs)?
        }
    };

    // Nothing is written before all that can be wrong with the input has been found.
    let folder = match begin {
        Begin::New(name) => match &config.output.name {
            Some(name) => RunFolder::create(&config.output.folder, name)?,
            None => RunFolder::create_numbered(&config.output.folder, name)?,
        },
        Begin::Again(resumed) => resumed.into_folder()?,
    };
    folder.write("config.toml", &text)?;
    let keeping = Keeping::new(&folder, config, text, inputs, earlier, start)?;
    let (optimizer, tensorboard) = observed(optimizer, &folder, &keeping, config.output.tensorboard)?;
    let (steps, evals) = (keeping.log(STEPS)?, keeping.log(EVALS)?);
    let components = optimizer.components().len();
    let progress = if config.output.quiet { Progress::none() } else { Progress::new(planned, components) };
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
    for warning in &warnings {
        progress.always(&format!("warning: {warning}"));
    }
    for note in task.notes().into_iter().chain(notes) {
        progress.line(&note);
    }

    let mut run = Run {
        config,
        flops: keeping.earlier().flop_meter(all, task.products()),
        task,
        lora,
        optimizer,
        rate,
        stopping,
        evals: EvalLog::new(evals),
        begun: Instant::now(),
        log: StepLog::new(steps, if device == Device::Cpu { 1 } else { 10 }, keeping.earlier().last_loss)
            .with_tensorboard(tensorboard.clone()),
        tensorboard,
        progress,
        planned,
        seconds: Duration::from_nanos(keeping.earlier().nanoseconds),
        examples: keeping.earlier().examples,
        tokens: keeping.earlier().tokens,
        eval_seconds: keeping.earlier().eval_seconds,
        validation_seconds: keeping.earlier().validation_seconds,
        validations: keeping.earlier().validations,
        evaluation_due: false,
        cpu_seconds: if keeping.earlier().resumes == 0 { Some(0.0) } else { keeping.earlier().cpu_seconds },
        freezes: Vec::new(),
        guard: Guard::new(config.guard, keeping.guard()),
        keeping,
    };
    let ended = run.steps(&batches, interrupt)?;
    run.end(ended)?;
    if ended != StopReason::Interrupted {
        run.restore_best()?;
    }
    run.progress.finish();
    // The weights of the best evaluation are kept as they were evaluated.
    if ended != StopReason::Interrupted
        && !run.config.early_stopping.is_some_and(|stopping| stopping.restore_best)
    {
        run.optimizer.apply_averages()?;
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
    run.tell_evaluation(evaluation, true, None)?;
    let tested = run.evaluate(Part::Test)?;
    let mut summary = run.summary(ended);
    summary.eval = scores(evaluation);
    summary.test = scores(tested);
    folder.write(Summary::FILE, &(serde_json::to_string_pretty(&summary)? + "\n"))?;
    let mut warnings = run.warnings();
    if config.output.report
        && let Err(error) = write_run_report(folder.path())
    {
        warnings.push(format!("there is no report.html: {}", with_causes(&error)));
    }
    Ok(Outcome { summary, folder: folder.path().to_path_buf(), warnings })
}

fn scores(evaluation: Option<Evaluation>) -> Scores {
    evaluation.map(|evaluation| evaluation.scores()).unwrap_or_default()
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) config: &'a RunConfig,
    pub(super) task: Box<dyn Task>,
    /// The adapters, when not all of the model trains.
    pub(super) lora: Option<LoraTraining>,
    pub(super) optimizer: Optimizer,
    rate: LearningRate,
    pub(super) stopping: Option<EarlyStopping>,
    pub(super) flops: FlopMeter,
    pub(super) evals: EvalLog,
    /// When the first step began, or the first one after a break.
    pub(super) begun: Instant,
    pub(super) log: StepLog,
    pub(super) tensorboard: Option<TensorBoard>,
    pub(super) progress: Progress,
    pub(super) planned: u64,
    /// Time in steps.
    pub(super) seconds: Duration,
    /// Examples in steps.
    pub(super) examples: u64,
    /// Tokens in steps.
    pub(super) tokens: u64,
    pub(super) eval_seconds: f64,
    /// Those between steps alone, and how many they were.
    pub(super) validation_seconds: f64,
    pub(super) validations: u64,
    /// Whether the run ends before one that is due.
    pub(super) evaluation_due: bool,
    /// Time of processors in steps.
    pub(super) cpu_seconds: Option<f64>,
    /// Those since the run was last begun or resumed.
    pub(super) freezes: Vec<FreezeEvent>,
    pub(super) guard: Guard,
    pub(super) keeping: Keeping,
}

impl Run<'_> {
    /// All steps, until one of the ends is reached; returns which.
    fn steps(&mut self, batches: &Batches<'_>, interrupt: &Interrupt) -> Result<StopReason> {
        let done = self.optimizer.steps();
        let every = self.config.training.eval_every.steps(batches.epoch());
        let left = usize::try_from(self.planned.saturating_sub(done)).unwrap_or(usize::MAX);
        self.begun = Instant::now();
        let planned = self.planned;
        // What the last step leads to is evaluated after the run.
        let due = |step: u64| every.is_some_and(|every| step.is_multiple_of(every)) && step < planned;
        // A run that was ended right after a step goes on with the evaluation that was due then.
        if self.keeping.earlier().evaluation_due && self.validate()? {
            return Ok(StopReason::EarlyStopped);
        }
        for (epoch, step_batches) in batches.after(done).take(left) {
            let report = self.step(epoch, &step_batches)?;
            if self.guard.gives_up() {
                self.evaluation_due = due(report.step);
                return Ok(StopReason::NonFinite);
            }
            if report.should_stop {
                self.validate_last()?;
                let all = report.frozen == report.total;
                return Ok(if all { StopReason::AllFrozen } else { StopReason::EnoughFrozen });
            }
            if interrupt.is_asked() {
                self.progress.always("interrupted: saving what is trained so far");
                self.evaluation_due = due(report.step);
                return Ok(StopReason::Interrupted);
            }
            if due(report.step) && self.validate()? {
                return Ok(StopReason::EarlyStopped);
            }
            self.keep(report.step)?;
        }
        self.validate_last()?;
        Ok(StopReason::AllSteps)
    }

    /// One optimizer step over one or several batches.
    fn step(&mut self, epoch: u64, batches: &[Vec<usize>]) -> Result<StepReport> {
        let (start, cpu) = (Instant::now(), cpu_seconds());
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
        let loss = Tensor::f_stack(&losses, 0)?.f_sum(Kind::Float)?;
        let (grad_norm, skipped) = self.look(&loss)?;
        let report = if skipped.is_none() { self.optimizer.step()? } else { self.optimizer.skip_step()? };
        let flops = batches.iter().map(|batch| self.flops.step(self.task.shape(batch))).sum();
        self.seconds += start.elapsed();
        let worked = cpu_seconds().zip(cpu).map(|(now, before)| now - before);
        self.cpu_seconds = self.cpu_seconds.zip(worked).map(|(before, worked)| before + worked);
        self.take_events(&report)?;
        self.examples += examples as u64;
        self.tokens += tokens as u64;

        let seconds = self.seconds.as_secs_f64();
        let record = StepRecord {
            step,
            epoch,
            loss: f64::NAN,
            learning_rate,
            grad_norm,
            work: StepWork { examples, tokens, flops, seconds },
            components: ComponentCounts { cooling: report.cooling, frozen: report.frozen },
            memory: StepMemory {
                memory_bytes: resident_memory(),
                training_bytes: self.optimizer.memory().total(),
            },
            skipped,
        };
        self.log.push(record, loss)?;
        self.watch();
        let loss = self.log.last_loss();
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
}
