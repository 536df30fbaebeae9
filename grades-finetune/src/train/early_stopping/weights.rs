//! A copy of the weights that an evaluation found best.

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Tensor};

/// The variables that train, and what they held at the best evaluation.
///
/// The copies are in main memory. What freezes after the best evaluation is put back as well: a freeze promises that
/// training moves nothing any more, and the weights of the best evaluation belong together. What froze before has not
/// moved since, so for it nothing changes.
pub(in crate::train) struct BestWeights {
    variables: Vec<(String, Tensor)>,
    copies: Vec<Tensor>,
}

impl BestWeights {
    /// Of all variables that train now.
    pub(in crate::train) fn of(store: &VarStore) -> Self {
        let mut variables: Vec<(String, Tensor)> =
            store.variables().into_iter().filter(|(_, variable)| variable.requires_grad()).collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        Self { variables, copies: Vec::new() }
    }

    /// Keeps what the variables hold now.
    pub(in crate::train) fn keep(&mut self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        self.make_room()?;
        for (copy, (_, variable)) in self.copies.iter_mut().zip(&self.variables) {
            copy.f_copy_(variable)?;
        }
        Ok(())
    }

    /// The copies by the names of their variables; none before the first evaluation.
    pub(in crate::train) fn copies(&self) -> Vec<(String, Tensor)> {
        let names = self.variables.iter().map(|(name, _)| name.clone());
        names.zip(&self.copies).map(|(name, copy)| (name, copy.shallow_clone())).collect()
    }

    /// Makes the copies, which hold nothing yet.
    pub(in crate::train) fn make_room(&mut self) -> Result<()> {
        if self.copies.is_empty() {
            let copy = |variable: &Tensor| -> Result<Tensor> {
                let kind = variable.f_kind()?;
                Ok(Tensor::f_empty(variable.size(), (kind, Device::Cpu))?)
            };
            self.copies = self.variables.iter().map(|(_, variable)| copy(variable)).collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Puts back what was kept last.
    pub(in crate::train) fn restore(&self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for ((_, variable), copy) in self.variables.iter().zip(&self.copies) {
            // Another handle to the same tensor.
            variable.shallow_clone().f_copy_(copy)?;
        }
        Ok(())
    }
}
