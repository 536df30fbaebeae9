//! Hyperparameters per group of parameters, as `Path::set_group` makes them.

use super::Hyperparameter;
use crate::error::{Error, Result};

/// The hyperparameters of one group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) lr: f64,
    /// SGD's momentum, Adam's β₁.
    pub(super) momentum: f64,
    pub(super) weight_decay: f64,
}

impl Group {
    pub(super) fn get(&self, hyperparameter: Hyperparameter) -> f64 {
        match hyperparameter {
            Hyperparameter::LearningRate => self.lr,
            Hyperparameter::Momentum => self.momentum,
            Hyperparameter::WeightDecay => self.weight_decay,
        }
    }

    pub(super) fn set(&mut self, hyperparameter: Hyperparameter, value: f64) {
        match hyperparameter {
            Hyperparameter::LearningRate => self.lr = value,
            Hyperparameter::Momentum => self.momentum = value,
            Hyperparameter::WeightDecay => self.weight_decay = value,
        }
    }
}

/// One set of hyperparameters per group, for the groups 0 to the highest in use.
#[derive(Debug)]
pub(super) struct Groups {
    list: Vec<Group>,
}

impl Groups {
    pub(super) fn new(count: usize, group: Group) -> Self {
        Groups { list: vec![group; count.max(1)] }
    }

    /// Returns the hyperparameters of a group that a parameter is in.
    pub(super) fn of(&self, group: usize) -> &Group {
        &self.list[group]
    }

    pub(super) fn get(&self, group: usize) -> Option<&Group> {
        self.list.get(group)
    }

    pub(super) fn all(&self) -> &[Group] {
        &self.list
    }

    pub(super) fn replace(&mut self, list: Vec<Group>) {
        self.list = list;
    }

    /// Returns one group, or all of them.
    pub(super) fn select(&mut self, group: Option<usize>) -> Result<&mut [Group]> {
        let Some(group) = group else { return Ok(&mut self.list) };
        let known = self.list.len();
        self.list.get_mut(group).map(std::slice::from_mut).ok_or_else(|| Error::Unknown {
            what: "group",
            name: group.to_string(),
            nearest: None,
            known: (0..known).map(|group| group.to_string()).collect::<Vec<_>>().join(", "),
        })
    }
}
