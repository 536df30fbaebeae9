//! Builds the parts of a run that need no folder.

use anyhow::Result;
use grades::policy::Never;
use grades::{FreezingConfig, FreezingOptimizer};

use super::costs::step_costs;
use super::evaluator::Evaluator;
use super::lr_schedule::LrSchedule;
use super::ranks::RunRanks;
use super::step_loader::StepLoader;
use crate::config::RunConfig;
use crate::state::FlopMeter;
use crate::tasks::{Loaded, Optimizer, Task, TrainedAdapter, build_optimizer};

/// The parts of a run that need no folder.
pub(super) struct Setup {
    pub(crate) task: Box<dyn Task>,
    /// The adapter that trains, unless the whole model does.
    pub(crate) adapter: Option<TrainedAdapter>,
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: LrSchedule,
    pub(crate) loader: StepLoader,
    pub(crate) evaluator: Evaluator,
    pub(crate) meter: FlopMeter,
    /// Facts that the user should know before the run, besides the task's.
    pub(crate) notes: Vec<String>,
    /// The processes of the run, where there are several.
    pub(crate) ranks: Option<RunRanks>,
}

impl Setup {
    /// Builds the parts; returns them with the configuration, completed for the model.
    ///
    /// # Errors
    ///
    /// When the configuration does not fit the model or the data.
    pub(super) fn build(loaded: Loaded) -> Result<(Self, RunConfig)> {
        let Loaded { config, task, adapter, notes } = loaded;
        let training = &config.training;
        let loader =
            StepLoader::new(task.sampler().clone(), training.gradient_accumulation_steps, training.epochs);
        let longest = training.max_steps.unwrap_or(u64::MAX).min(loader.steps());
        let planned = ((training.step_fraction * longest as f64).round() as u64).clamp(1, longest.max(1));
        let loader = loader.with_limit(planned);
        let evaluator = Evaluator::new(&config, task.as_ref(), loader.steps_per_epoch(), planned)?;
        let schedule = LrSchedule::new(&config.schedule, config.optimizer.lr, planned);
        let freezing = config
            .freezing
            .clone()
            .unwrap_or_else(|| FreezingConfig::new(Never))
            .with_epoch_steps(loader.steps_per_epoch())
            .with_warmup_steps(schedule.warmup_steps());
        let inner = build_optimizer(&config.optimizer, task.store())?;
        // The loggers read the reports that `step` returns.
        let optimizer =
            FreezingOptimizer::new(inner, task.store(), &freezing, planned)?.with_comparisons(true);
        let costs = step_costs(&config, task.as_ref(), &optimizer, adapter.is_some())?;
        let optimizer = optimizer.with_costs(costs)?;
        // Before a resumed run freezes anything again.
        let meter = FlopMeter::new(task.matmuls());
        Ok((
            Self { task, adapter, optimizer, schedule, loader, evaluator, meter, notes, ranks: None },
            config,
        ))
    }
}
