//! Hyperparameters, set under tch's names.

use super::FreezingOptimizer;
use crate::error::Result;
use crate::optim::{Hyperparameter, InnerOptimizer};

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Sets the learning rate of all groups.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a value out of range,
    /// [`Error::Torch`](crate::Error::Torch) where tch's own optimizer refuses.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        self.inner.set(None, Hyperparameter::LearningRate, lr)
    }

    /// Sets the learning rate of one group, numbered as in `Path::set_group`.
    ///
    /// # Errors
    ///
    /// As [`set_lr`](Self::set_lr), and [`Error::Unknown`](crate::Error::Unknown) for a group that does not exist.
    pub fn set_lr_group(&mut self, group: usize, lr: f64) -> Result<()> {
        self.inner.set(Some(group), Hyperparameter::LearningRate, lr)
    }

    /// Sets the momentum of all groups: SGD's momentum, Adam's β₁.
    ///
    /// # Errors
    ///
    /// As [`set_lr`](Self::set_lr).
    pub fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        self.inner.set(None, Hyperparameter::Momentum, momentum)
    }

    /// Sets the momentum of one group.
    ///
    /// # Errors
    ///
    /// As [`set_lr_group`](Self::set_lr_group).
    pub fn set_momentum_group(&mut self, group: usize, momentum: f64) -> Result<()> {
        self.inner.set(Some(group), Hyperparameter::Momentum, momentum)
    }

    /// Sets the weight decay of all groups.
    ///
    /// # Errors
    ///
    /// As [`set_lr`](Self::set_lr).
    pub fn set_weight_decay(&mut self, weight_decay: f64) -> Result<()> {
        self.inner.set(None, Hyperparameter::WeightDecay, weight_decay)
    }

    /// Sets the weight decay of one group.
    ///
    /// # Errors
    ///
    /// As [`set_lr_group`](Self::set_lr_group).
    pub fn set_weight_decay_group(&mut self, group: usize, weight_decay: f64) -> Result<()> {
        self.inner.set(Some(group), Hyperparameter::WeightDecay, weight_decay)
    }
}
