//! Hyperparameters per group of parameters, as `Path::set_group` makes them.

use crate::error::{Error, Result};

/// One set of hyperparameters per group, for the groups 0 to the highest in use.
#[derive(Debug)]
pub(super) struct Groups<H> {
    list: Vec<H>,
}

impl<H: Clone> Groups<H> {
    pub(super) fn new(count: usize, hyper: H) -> Self {
        Groups { list: vec![hyper; count.max(1)] }
    }

    /// The hyperparameters of a group that a parameter is in.
    pub(super) fn of(&self, group: usize) -> &H {
        &self.list[group]
    }

    pub(super) fn first(&self) -> &H {
        &self.list[0]
    }

    pub(super) fn all(&self) -> &[H] {
        &self.list
    }

    pub(super) fn all_mut(&mut self) -> &mut [H] {
        &mut self.list
    }

    /// A group named by the user, as a list of one.
    pub(super) fn one_mut(&mut self, group: usize) -> Result<&mut [H]> {
        let known = self.list.len();
        self.list.get_mut(group).map(std::slice::from_mut).ok_or_else(|| Error::Unknown {
            what: "group",
            name: group.to_string(),
            nearest: None,
            known: (0..known).map(|group| group.to_string()).collect::<Vec<_>>().join(", "),
        })
    }
}
