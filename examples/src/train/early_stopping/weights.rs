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
    variables: Vec<Tensor>,
    copies: Vec<Tensor>,
}

impl BestWeights {
    /// Of all variables that train now.
    pub(in crate::train) fn of(store: &VarStore) -> Self {
        let mut variables: Vec<(String, Tensor)> =
            store.variables().into_iter().filter(|(_, variable)| variable.requires_grad()).collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        let variables = variables.into_iter().map(|(_, variable)| variable).collect();
        Self { variables, copies: Vec::new() }
    }

    /// Keeps what the variables hold now.
    pub(in crate::train) fn keep(&mut self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        if self.copies.is_empty() {
            let copy = |variable: &Tensor| -> Result<Tensor> {
                let kind = variable.f_kind()?;
                Ok(Tensor::f_empty(variable.size(), (kind, Device::Cpu))?)
            };
            self.copies = self.variables.iter().map(copy).collect::<Result<_>>()?;
        }
        for (copy, variable) in self.copies.iter_mut().zip(&self.variables) {
            copy.f_copy_(variable)?;
        }
        Ok(())
    }

    /// Puts back what was kept last.
    pub(in crate::train) fn restore(&self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for (variable, copy) in self.variables.iter().zip(&self.copies) {
            // Another handle to the same tensor.
            variable.shallow_clone().f_copy_(copy)?;
        }
        Ok(())
    }
}
