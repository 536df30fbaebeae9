//! A copy of the weights of the best evaluation.

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Tensor};

/// The variables that train, and their values at the best evaluation.
///
/// The copies are in main memory. Components that froze after the best evaluation are restored as well: a freeze promises
/// that training moves them no more, and the weights of the best evaluation belong together. Components that froze before
/// have not moved since.
pub(in crate::train) struct BestWeights {
    variables: Vec<(String, Tensor)>,
    copies: Vec<Tensor>,
}

impl BestWeights {
    /// Makes it for all variables that train now, without a copy yet.
    pub(in crate::train) fn of(store: &VarStore) -> Self {
        let mut variables: Vec<(String, Tensor)> =
            store.variables().into_iter().filter(|(_, variable)| variable.requires_grad()).collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        Self { variables, copies: Vec::new() }
    }

    /// Copies the current values.
    pub(in crate::train) fn copy(&mut self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        self.allocate()?;
        for (copy, (_, variable)) in self.copies.iter_mut().zip(&self.variables) {
            copy.f_copy_(variable)?;
        }
        Ok(())
    }

    /// Returns the copies with the names of their variables; none before the first evaluation.
    pub(in crate::train) fn copies(&self) -> Vec<(String, Tensor)> {
        let names = self.variables.iter().map(|(name, _)| name.clone());
        names.zip(&self.copies).map(|(name, copy)| (name, copy.shallow_clone())).collect()
    }

    /// Allocates the copies, with undefined values.
    pub(in crate::train) fn allocate(&mut self) -> Result<()> {
        if self.copies.is_empty() {
            let copy = |variable: &Tensor| -> Result<Tensor> {
                let kind = variable.f_kind()?;
                Ok(Tensor::f_empty(variable.size(), (kind, Device::Cpu))?)
            };
            self.copies = self.variables.iter().map(|(_, variable)| copy(variable)).collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// Restores the copied values.
    pub(in crate::train) fn restore(&self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for ((_, variable), copy) in self.variables.iter().zip(&self.copies) {
            // Another handle to the same tensor.
            variable.shallow_clone().f_copy_(copy)?;
        }
        Ok(())
    }
}
