//! Freezing, so that bytes never move again, and thawing.

use tch::Tensor;

use super::FreezingOptimizer;
use crate::error::{Error, Result};
use crate::optim::InnerOptimizer;
use crate::parameters::ParamId;
use crate::torch::{empty_cache, gradients};
use crate::tracker::{FreezeEvent, Transition};

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Freezes and thaws the parameters of the components that these events name.
    pub(super) fn act_on(&mut self, events: &[FreezeEvent]) -> Result<()> {
        let mut freezing = Vec::new();
        let mut thawing = Vec::new();
        for event in events {
            tracing::info!(
                target: "grades",
                event = ?event.event,
                step = event.step,
                component = %event.component,
                kind = %event.kind,
                statistic = %event.statistic,
                value = event.value,
                threshold = event.threshold,
                policy = %event.policy,
            );
            let ids: Vec<ParamId> = self.ids_of(event.index).collect();
            match event.event {
                Transition::Cool => {}
                Transition::Freeze => {
                    self.instruments.forget(event.index, ids.iter().copied());
                    freezing.extend(ids);
                }
                Transition::Thaw => {
                    self.restart_averages(event.layer);
                    thawing.extend(ids);
                }
            }
        }
        if freezing.is_empty() && thawing.is_empty() {
            return Ok(());
        }
        // Blocks whose last component froze close; those of which one thawed open again.
        thawing.extend(self.followers.open(&self.tracker));
        freezing.extend(self.followers.close(&self.tracker));
        self.thaw(thawing)?;
        self.freeze(freezing)
    }

    /// No gradient is computed, the pending one is dropped, and the inner optimizer forgets these parameters.
    fn freeze(&mut self, mut ids: Vec<ParamId>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let before = self.empties_cache().then(|| self.memory().total());
        self.apply_averages_of(&ids)?;
        self.held.extend(&ids);
        self.hold_frozen()?;
        self.inner.release(&ids)?;
        ids.sort_unstable();
        self.active.retain(|id| ids.binary_search(id).is_err());
        match before {
            Some(before) => self.hand_back(before),
            None => Ok(()),
        }
    }

    /// Whether the allocator of a device keeps memory that is freed.
    fn empties_cache(&self) -> bool {
        self.parameters.iter().any(|(_, parameter)| parameter.device().is_cuda())
    }

    /// Hands what the allocator keeps back to the device once freezes have freed enough.
    fn hand_back(&mut self, before: u64) -> Result<()> {
        self.released += before.saturating_sub(self.memory().total());
        if self.released as f64 > self.empty_cache * before as f64 {
            self.released = 0;
            empty_cache()?;
        }
        Ok(())
    }

    /// These parameters train again, as if they were new.
    fn thaw(&mut self, mut ids: Vec<ParamId>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.inner.readmit(&ids)?;
        self.forget_factors(&ids);
        for tensor in self.tensors(&ids) {
            // What is returned is another handle to the same tensor.
            let woken = tensor.f_set_requires_grad(true).map(drop);
            woken.map_err(|error| Error::torch("thawing a parameter", &error))?;
        }
        ids.sort_unstable();
        self.held.retain(|id| ids.binary_search(id).is_err());
        self.active.extend(ids);
        self.active.sort_unstable();
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
