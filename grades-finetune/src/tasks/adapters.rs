//! The LoRA adapter of a run.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use grades::tracker::StepReport;
use grades_lora::{Adapters, MergeFrozen};
use grades_models::bert::LABELS_FILE;
use grades_models::files::atomic::write_atomic;

use super::task::Task;
use crate::config::LoraRun;

/// The one adapter that a run trains, called `default` as in PEFT.
pub(crate) struct TrainedAdapter {
    adapters: Adapters,
    merge_frozen: Option<MergeFrozen>,
}

const NAME: &str = "default";

impl TrainedAdapter {
    /// Adds the adapter to the model. Variables that are in no file of the base train and are saved as well.
    pub(crate) fn add(lora: &LoraRun, task: &mut dyn Task, base: &str) -> grades_lora::Result<Self> {
        let info = task.info();
        let mut config = lora.config.clone().task_type(info.peft_task_type).base_model(base);
        for name in &info.fresh_variables {
            let module = name.rsplit_once('.').map_or(name.as_str(), |(module, _)| module);
            // An entry names a module with all that is in it.
            let mut modules = name.match_indices('.').filter_map(|(dot, _)| name.get(..dot));
            if !modules
                .any(|outer| config.modules_to_save.iter().any(|saved| outer.ends_with(saved.as_str())))
            {
                config.modules_to_save.push(module.to_owned());
            }
        }
        let (layers, variables) = task.layers_mut();
        let mut adapters = Adapters::new();
        adapters.add(layers, variables, NAME, &config)?;
        Ok(Self { adapters, merge_frozen: lora.merge_frozen })
    }

    /// Describes the adapter in one line.
    pub(crate) fn describe(&self, task: &dyn Task) -> String {
        let layers = self.adapters.layers(NAME).map_or(0, <[String]>::len);
        let variables = task.store().variables();
        let count = |of: &dyn Fn(&str, &tch::Tensor) -> bool| -> usize {
            variables.iter().filter(|(name, tensor)| of(name, tensor)).map(|(_, tensor)| tensor.numel()).sum()
        };
        let trained = count(&|_, tensor| tensor.requires_grad());
        let base = count(&|name, _| !Adapters::is_variable(name));
        format!("adapters in {layers} layers: {trained} numbers train, the model has {base}")
    }

    /// Merges the layers that were merged when the checkpoint was written.
    pub(crate) fn after_load(&mut self, task: &mut dyn Task) -> grades_lora::Result<()> {
        match self.merge_frozen {
            Some(merge) => merge.apply(task.layers_mut().0).map(drop),
            None => Ok(()),
        }
    }

    /// Merges the layers that froze at this step, with `lora.merge_frozen`; returns their names.
    pub(crate) fn after_step(
        &mut self,
        task: &mut dyn Task,
        report: &StepReport,
    ) -> grades_lora::Result<Vec<String>> {
        match self.merge_frozen {
            Some(merge) if !report.events.is_empty() => Ok(merge.apply(task.layers_mut().0)?.merged),
            _ => Ok(Vec::new()),
        }
    }

    /// Unmerges all layers, after their weights were replaced.
    pub(crate) fn unmerge(&self, task: &mut dyn Task) -> grades_lora::Result<()> {
        let mut done = Ok(());
        task.layers_mut().0.visit_linear(&mut |_, layer| {
            if done.is_ok() && layer.adapter(NAME).is_some_and(|adapter| adapter.is_merged()) {
                done = layer.unmerge(NAME);
            }
        });
        done
    }

    /// Writes the adapter's directory.
    pub(crate) fn save(&self, task: &dyn Task, dir: &Path) -> Result<()> {
        self.adapters.save(NAME, dir).with_context(|| format!("saving the adapter in {}", dir.display()))?;
        let Some(labels) = &task.info().labels else { return Ok(()) };
        let labels = serde_json::to_string(labels).context("writing the labels")? + "\n";
        // The error begins with the path.
        write_atomic(&dir.join(LABELS_FILE), labels.as_bytes())
            .map_err(|error| anyhow!("cannot write {error}"))
    }
}

/// Merges an adapter's matrices that froze in a step, where one trains and is to be merged; returns the layers' names.
pub(crate) fn merge_frozen(
    adapter: Option<&mut TrainedAdapter>,
    task: &mut dyn Task,
    report: &StepReport,
) -> grades_lora::Result<Vec<String>> {
    adapter.map_or(Ok(Vec::new()), |adapter| adapter.after_step(task, report))
}
