//! The adapters of a run.

use anyhow::{Context, Result};
use grades::tracker::StepReport;
use grades_lora::{Adapters, MergeFrozen};

use super::folder::RunFolder;
use super::task::Task;
use crate::config::LoraRun;
use grades_models::bert::LABELS_FILE;

/// The one adapter that a run trains, called `default` as in PEFT.
pub(super) struct LoraTraining {
    adapters: Adapters,
    merge_frozen: Option<MergeFrozen>,
}

const NAME: &str = "default";

impl LoraTraining {
    /// Puts the adapters in. What was drawn afresh is in no file of the base, so it is trained and saved as well.
    pub(super) fn begin(lora: &LoraRun, task: &mut dyn Task, base: &str) -> grades_lora::Result<Self> {
        let mut config = lora.config.clone().task_type(task.adapter_type()).base_model(base);
        for name in task.fresh() {
            let module = name.rsplit_once('.').map_or(name.as_str(), |(module, _)| module);
            // An entry means a module with all that is in it.
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

    /// What is adapted, in words.
    pub(super) fn describe(&self, task: &dyn Task) -> String {
        let layers = self.adapters.layers(NAME).map_or(0, <[String]>::len);
        let variables = task.store().variables();
        let count = |of: &dyn Fn(&str, &tch::Tensor) -> bool| -> usize {
            variables.iter().filter(|(name, tensor)| of(name, tensor)).map(|(_, tensor)| tensor.numel()).sum()
        };
        let trained = count(&|_, tensor| tensor.requires_grad());
        let base = count(&|name, _| !Adapters::is_variable(name));
        format!("adapters in {layers} layers: {trained} numbers train, the model has {base}")
    }

    /// Merges again what was merged when the run was saved.
    pub(super) fn after_load(&mut self, task: &mut dyn Task) -> grades_lora::Result<()> {
        match self.merge_frozen {
            Some(merge) => merge.apply(task.layers_mut().0).map(drop),
            None => Ok(()),
        }
    }

    /// Merges what froze at this step, where the run asks for it; says what was merged.
    pub(super) fn after_step(
        &mut self,
        task: &mut dyn Task,
        report: &StepReport,
    ) -> grades_lora::Result<Vec<String>> {
        match self.merge_frozen {
            Some(merge) if !report.events.is_empty() => Ok(merge.apply(task.layers_mut().0)?.merged),
            _ => Ok(Vec::new()),
        }
    }

    /// Takes merged adapters out of what their layers compute with, after their weights were replaced.
    pub(super) fn unmerge(&self, task: &mut dyn Task) -> grades_lora::Result<()> {
        let mut done = Ok(());
        task.layers_mut().0.visit_linear(&mut |_, layer| {
            if done.is_ok() && layer.adapter(NAME).is_some_and(|adapter| adapter.is_merged()) {
                done = layer.unmerge(NAME);
            }
        });
        done
    }

    /// Writes the folder `adapter` of a run.
    pub(super) fn save(&self, task: &dyn Task, folder: &RunFolder) -> Result<()> {
        let dir = folder.file("adapter");
        self.adapters.save(&dir, NAME).with_context(|| format!("saving the adapter in {}", dir.display()))?;
        let Some(labels) = task.labels() else { return Ok(()) };
        let labels = serde_json::to_string(labels).context("writing the labels")?;
        folder.write(&format!("adapter/{LABELS_FILE}"), &(labels + "\n"))
    }
}
