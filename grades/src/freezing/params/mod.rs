//! The parameters of a run: those that train, those that are frozen, and those that follow a block.

mod followers;

use tch::Tensor;

use crate::component::{Component, ComponentMap};
use crate::config::FreezingConfig;
use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameters};
use crate::torch::gradients;
use crate::tracker::FreezeTracker;
use followers::Followers;

/// The parameters of a run, and which of them train.
#[derive(Debug)]
pub(super) struct ParamSet {
    all: Parameters,
    /// The parameters that train, in order.
    active: Vec<ParamId>,
    frozen: Vec<ParamId>,
    followers: Followers,
}

/// The saved state of a [`ParamSet`].
#[derive(Debug)]
pub(super) struct ParamState {
    pub(super) frozen: Vec<ParamId>,
    /// The blocks whose followers are frozen.
    pub(super) closed_blocks: Vec<u32>,
}

impl ParamSet {
    pub(super) fn new(all: Parameters, config: &FreezingConfig, map: &ComponentMap) -> Self {
        let followers = Followers::new(config.followers(), config.tied(), map, &all);
        Self { active: all.ids().collect(), frozen: Vec::new(), followers, all }
    }

    /// Returns all parameters, frozen ones included.
    pub(super) fn all(&self) -> &Parameters {
        &self.all
    }

    /// Returns the parameters that train, in order.
    pub(super) fn active(&self) -> &[ParamId] {
        &self.active
    }

    /// Returns the parameters of no component that train, each with the block that it follows.
    pub(super) fn active_followers(&self) -> impl Iterator<Item = (ParamId, Option<u32>)> {
        self.followers.active()
    }

    /// Returns the parameters that follow a block, or all blocks.
    pub(super) fn followers_of(&self, layer: Option<u32>) -> Vec<ParamId> {
        self.followers.of_block_or_all(layer)
    }

    /// Returns whether the input side of a tied embedding is frozen.
    pub(super) fn input_is_frozen(&self) -> bool {
        self.followers.input_is_frozen()
    }

    /// Returns the tensors of these parameters.
    pub(super) fn tensors<'a>(&'a self, ids: &'a [ParamId]) -> impl Iterator<Item = &'a Tensor> {
        ids.iter().filter_map(|id| self.all.get(*id)).map(|parameter| parameter.tensor())
    }

    /// Returns the tensors of the parameters that train.
    pub(super) fn active_tensors(&self) -> Vec<&Tensor> {
        self.tensors(&self.active).collect()
    }

    /// Returns handles to the tensors of these parameters.
    pub(super) fn handles(&self, ids: &[ParamId]) -> Vec<(ParamId, Tensor)> {
        ids.iter().copied().zip(self.tensors(ids).map(Tensor::shallow_clone)).collect()
    }

    /// Returns whether a parameter is on a CUDA device, whose allocator caches freed memory.
    pub(super) fn on_cuda(&self) -> bool {
        self.all.iter().any(|(_, parameter)| parameter.device().is_cuda())
    }

    /// Returns the parameters to thaw and those to freeze because the state of their block changed.
    pub(super) fn update_followers(&mut self, tracker: &FreezeTracker) -> (Vec<ParamId>, Vec<ParamId>) {
        let thawed = self.followers.open(tracker);
        let frozen = self.followers.close(tracker);
        (thawed, frozen)
    }

    /// Freezes these parameters: `requires_grad` is off, and the gradient is undefined.
    pub(super) fn freeze(&mut self, ids: &[ParamId]) -> Result<()> {
        self.frozen.extend(ids);
        self.enforce_frozen()?;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        self.active.retain(|id| ids.binary_search(id).is_err());
        Ok(())
    }

    /// Lets these parameters train again.
    pub(super) fn thaw(&mut self, ids: &[ParamId]) -> Result<()> {
        self.require_grad(ids)?;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        self.frozen.retain(|id| ids.binary_search(id).is_err());
        self.active.extend(ids);
        self.active.sort_unstable();
        Ok(())
    }

    /// Freezes again what a call from outside may have thawed since the last step, such as `VarStore::unfreeze`.
    pub(super) fn enforce_frozen(&self) -> Result<()> {
        if self.frozen.is_empty() {
            return Ok(());
        }
        let frozen: Vec<&Tensor> = self.tensors(&self.frozen).collect();
        for tensor in &frozen {
            if tensor.requires_grad() {
                // The call returns another handle to the same tensor.
                let done = tensor.f_set_requires_grad(false).map(drop);
                done.map_err(|error| Error::torch("freezing a parameter", &error))?;
            }
        }
        gradients::undefine(&frozen)
    }

    /// Returns the state that a checkpoint stores.
    pub(super) fn state(&self) -> ParamState {
        ParamState { frozen: self.frozen.clone(), closed_blocks: self.followers.closed().collect() }
    }

    /// Restores what [`state`](Self::state) returned.
    pub(super) fn restore(&mut self, state: ParamState) -> Result<()> {
        let ParamState { mut frozen, closed_blocks } = state;
        frozen.sort_unstable();
        self.active = self.all.ids().filter(|id| frozen.binary_search(id).is_err()).collect();
        self.frozen = frozen;
        self.followers.restore(closed_blocks);
        self.require_grad(&self.active)?;
        self.enforce_frozen()
    }

    fn require_grad(&self, ids: &[ParamId]) -> Result<()> {
        for tensor in self.tensors(ids) {
            // The call returns another handle to the same tensor.
            let done = tensor.f_set_requires_grad(true).map(drop);
            done.map_err(|error| Error::torch("thawing a parameter", &error))?;
        }
        Ok(())
    }
}

/// Returns the parameters of a component.
pub(super) fn ids_of(component: &Component) -> impl Iterator<Item = ParamId> + '_ {
    component.parameters.iter().map(|position| ParamId::new(*position))
}

/// Returns the parameters of the components at these positions.
pub(super) fn ids_of_all(components: &[Component], positions: &[usize]) -> Vec<ParamId> {
    positions.iter().filter_map(|index| components.get(*index)).flat_map(ids_of).collect()
}
