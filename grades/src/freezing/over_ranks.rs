//! The gradients of a step, summed over the processes of a group between the last backward pass and the update.

use super::params::ParamSet;
use crate::error::{Error, Result};
use crate::optim::GradStats;
use crate::optim::reduction::{Listed, Owners, Reduction};
use crate::parameters::ParamId;

/// The sum of gradients over the processes of a group, and how far it is in the step under way.
#[derive(Debug)]
pub(super) struct OverRanks {
    reduction: Box<dyn Reduction>,
    /// All parameters in the order in which the backward pass computes their gradients.
    order: Vec<ParamId>,
    /// The rank that updates each parameter; `None` where all do.
    owners: Option<Owners>,
    /// Whether the reduction has the list of the parameters that train now.
    is_listed: bool,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The gradients are this process's own.
    Local,
    /// They are sent as they come.
    Sending,
    /// They are the sums over all processes.
    Summed,
    /// A step applied the sums, and they were not cleared since.
    Spent,
}

impl OverRanks {
    #[cfg(feature = "distributed")]
    pub(super) fn new(reduction: Box<dyn Reduction>, order: Vec<ParamId>, owners: Option<Owners>) -> Self {
        Self { reduction, order, owners, is_listed: false, phase: Phase::Local }
    }

    /// Returns the sum itself.
    pub(super) fn reduction(&self) -> &dyn Reduction {
        self.reduction.as_ref()
    }

    /// Records that other parameters train now.
    pub(super) fn set_changed(&mut self) {
        self.is_listed = false;
    }

    /// Returns whether gradients can still be measured before they are summed.
    pub(super) fn is_local(&self) -> bool {
        self.phase == Phase::Local
    }

    /// Returns the rank that updates each parameter; `None` where all do.
    pub(super) fn owners(&self) -> Option<&Owners> {
        self.owners.as_ref()
    }

    /// Declares that gradients are final from here on.
    pub(super) fn begin(&mut self, params: &ParamSet, state: u32) -> Result<()> {
        if self.phase == Phase::Local {
            self.prepare(params, state)?;
            self.reduction.begin()?;
            self.phase = Phase::Sending;
        }
        Ok(())
    }

    /// Makes every gradient the sum over all processes, and sums further numbers; does nothing the second time.
    pub(super) fn sum(&mut self, params: &ParamSet, state: u32, extra: &mut [f64]) -> Result<()> {
        match self.phase {
            Phase::Summed => return Ok(()),
            Phase::Spent => {
                return Err(Error::Unsupported {
                    what: "a step with the gradients of the step before, in a group of processes".to_owned(),
                    reason: "they are sums over all ranks already; call zero_grad of the wrapper before the backward \
                             passes of each step"
                        .to_owned(),
                });
            }
            Phase::Local => self.prepare(params, state)?,
            Phase::Sending => {}
        }
        self.reduction.finish(extra)?;
        self.phase = Phase::Summed;
        Ok(())
    }

    /// Has every rank know the statistics that only the owner of a parameter measured. They have the owner's bits: nothing
    /// but zeros is added to them.
    pub(super) fn exchange(&self, sums: &mut GradStats, params: &ParamSet) -> Result<()> {
        let Some(owners) = &self.owners else { return Ok(()) };
        let mut numbers = sums.numbers(params.active(), |id| owners.owns(id));
        self.reduction.sum_numbers(&mut numbers)?;
        sums.set_numbers(params.active(), &numbers);
        Ok(())
    }

    /// Does the same for one number of each parameter.
    pub(super) fn exchange_values(&self, values: &mut [Option<f64>]) -> Result<()> {
        let Some(owners) = self.owners.as_ref().filter(|_| !values.is_empty()) else { return Ok(()) };
        let own = values
            .iter()
            .enumerate()
            .map(|(index, value)| value.filter(|_| owners.owns(ParamId::new(index))));
        let mut numbers: Vec<f64> =
            own.flat_map(|value| [f64::from(u8::from(value.is_some())), value.unwrap_or(0.0)]).collect();
        self.reduction.sum_numbers(&mut numbers)?;
        for (value, [present, number]) in values.iter_mut().zip(numbers.as_chunks().0) {
            *value = (*present != 0.0).then_some(*number);
        }
        Ok(())
    }

    /// Has every rank get the weights that their owners updated.
    pub(super) fn share_weights(&mut self, params: &ParamSet) -> Result<()> {
        if self.owners.is_none() {
            return Ok(());
        }
        let list = listed(&self.order, self.owners.as_ref(), params);
        self.reduction.share(&list)
    }

    /// Forgets gradients; those under way are waited for, since other processes wait for them too.
    pub(super) fn clear(&mut self) -> Result<()> {
        if self.phase == Phase::Sending {
            self.reduction.finish(&mut [])?;
        }
        if self.phase != Phase::Local {
            self.reduction.reset()?;
            self.phase = Phase::Local;
        }
        Ok(())
    }

    /// Ends a step: lists what trains now, and begins to compare what was decided.
    pub(super) fn end_step(&mut self, params: &ParamSet, state: u32) -> Result<()> {
        if self.phase == Phase::Summed {
            self.phase = Phase::Spent;
        }
        self.list(params)?;
        self.reduction.propose(state)
    }

    /// Ends the run: the last step's decisions are compared.
    pub(super) fn end(&mut self) -> Result<()> {
        self.clear()?;
        self.reduction.verify()
    }

    /// Checks that all processes decided the same before anything is sent.
    fn prepare(&mut self, params: &ParamSet, state: u32) -> Result<()> {
        if !self.is_listed {
            self.list(params)?;
            self.reduction.propose(state)?;
        }
        self.reduction.verify()
    }

    fn list(&mut self, params: &ParamSet) -> Result<()> {
        if self.is_listed {
            return Ok(());
        }
        let list = listed(&self.order, self.owners.as_ref(), params);
        self.reduction.set_list(&list)?;
        self.is_listed = true;
        Ok(())
    }
}

/// Lists the parameters that train, in the order in which the backward pass computes their gradients.
fn listed<'a>(order: &[ParamId], owners: Option<&Owners>, params: &'a ParamSet) -> Vec<Listed<'a>> {
    let trains = |id: &&ParamId| params.active().binary_search(id).is_ok();
    let one = |id: &ParamId| {
        let parameter = params.all().get(*id)?;
        let owner = owners.map(|owners| owners.of(*id));
        Some(Listed { name: parameter.name(), tensor: parameter.tensor(), owner })
    };
    order.iter().filter(trains).filter_map(one).collect()
}
