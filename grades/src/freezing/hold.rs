//! Freezing: making sure that bytes never move again.

use tch::Tensor;

use super::FreezingOptimizer;
use crate::optim::InnerOptimizer;
use crate::parameters::ParamId;
use crate::torch::gradients;
use crate::{Error, FreezeEvent, Result};

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Freezes the parameters of these components: no gradient is computed, the pending one is dropped, and the
    /// inner optimizer forgets them.
    pub(super) fn freeze(&mut self, events: &[FreezeEvent]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let mut ids = Vec::new();
        for event in events {
            tracing::info!(
                target: "grades",
                step = event.step,
                component = %event.component,
                kind = %event.kind,
                statistic = %event.statistic,
                value = event.value,
                threshold = event.threshold,
                policy = event.policy,
                "frozen"
            );
            let positions = &self.tracker.components()[event.index].parameters;
            ids.extend(positions.iter().map(|position| ParamId::new(*position)));
        }
        self.held.extend(&ids);
        self.hold_frozen()?;
        self.inner.release(&ids)?;
        ids.sort_unstable();
        self.active.retain(|id| ids.binary_search(id).is_err());
        Ok(())
    }

    /// Undoes what may have woken a frozen parameter since the last step, such as `VarStore::unfreeze`.
    pub(super) fn hold_frozen(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let frozen: Vec<&Tensor> = self.tensors(&self.held).collect();
        for tensor in &frozen {
            if tensor.requires_grad() {
                // What is returned is another handle to the same tensor.
                let held = tensor.f_set_requires_grad(false).map(drop);
                held.map_err(|error| Error::torch("freezing a parameter", &error))?;
            }
        }
        gradients::undefine(&frozen)
    }

    /// The tensors of these parameters.
    pub(super) fn tensors<'a>(&'a self, ids: &'a [ParamId]) -> impl Iterator<Item = &'a Tensor> {
        ids.iter().filter_map(|id| self.parameters.get(*id)).map(|parameter| parameter.tensor())
    }
}
