//! Saving and loading the state of a fused optimizer.

use super::{Fused, KernelFamily};
use crate::error::Result;
use crate::optim::InnerOptimizer;
use crate::optim::stateful::{OptimizerState, StatefulOptimizer, number};

impl<K: KernelFamily> StatefulOptimizer for Fused<K> {
    fn save_state(&self) -> OptimizerState {
        OptimizerState {
            name: self.name().to_owned(),
            hyperparameters: self.recipe.hyperparameters(),
            parameters: self.states.save(K::FIELDS),
        }
    }

    fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        state.check(self.name(), &self.recipe.hyperparameters(), self.parameters())?;
        let mut groups = self.recipe.groups.all().to_vec();
        for (group, saved) in groups.iter_mut().zip(state.groups(self.recipe.groups.all().len())?) {
            group.lr = number(saved, "lr")?;
            group.momentum = number(saved, K::MOMENTUM)?;
            group.weight_decay = number(saved, "weight_decay")?;
        }
        let recipe = &self.recipe;
        let loaded =
            self.states.load(&state.parameters, |parameter, saved| recipe.saved_state(parameter, saved))?;
        self.states.replace(loaded);
        self.recipe.groups.replace(groups);
        self.buckets.clear();
        self.stale = true;
        Ok(())
    }
}
