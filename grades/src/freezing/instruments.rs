//! What the wrapper keeps in order to measure: only what some policy reads.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::optim::GradStats;
use crate::parameters::ParamId;
use crate::statistic::{MomentFilter, Statistic, StatisticSet};
use crate::torch::{byte_len, gradients};

/// What is kept between steps for statistics that need more than the present gradient.
#[derive(Debug, Default)]
pub(super) struct Instruments {
    /// For the signal fraction: one per component.
    pub(super) filters: Vec<MomentFilter>,
    /// For `grad-delta-l1`: the gradients of the step before, by parameter.
    pub(super) gradients: Copies,
    /// For `weight-delta-l1`: the weights at the check before, by parameter.
    pub(super) weights: Copies,
    /// For the two-batch statistics: what the first micro-batch of this step gave.
    pub(super) micro: MicroBatches,
}

/// The micro-batches of the step under way.
#[derive(Debug, Default)]
pub(super) struct MicroBatches {
    /// How many there were.
    pub(super) count: u64,
    /// The first one's share of the step's loss, and the sums of its gradients, by parameter.
    pub(super) first: Option<(f64, GradStats)>,
    /// Whether any step so far had two.
    pub(super) seen: bool,
}

impl Instruments {
    pub(super) fn new(statistics: StatisticSet, components: usize, parameters: usize) -> Self {
        let mut instruments = Self::default();
        if statistics.contains(Statistic::SignalFraction) {
            instruments.filters = vec![MomentFilter::default(); components];
        }
        if statistics.contains(Statistic::GradDeltaL1) {
            instruments.gradients = Copies::new(parameters);
        }
        if statistics.contains(Statistic::WeightDeltaL1) {
            instruments.weights = Copies::new(parameters);
        }
        instruments
    }

    /// Drops what is kept for a component and its parameters.
    pub(super) fn forget(&mut self, component: usize, ids: impl Iterator<Item = ParamId>) {
        if let Some(filter) = self.filters.get_mut(component) {
            *filter = MomentFilter::default();
        }
        for id in ids {
            self.gradients.forget(id);
            self.weights.forget(id);
        }
    }

    /// Bytes of the copies.
    pub(super) fn bytes(&self) -> u64 {
        self.gradients.bytes() + self.weights.bytes()
    }
}

/// Copies of tensors, from which changes are measured.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// By parameter; empty when nothing is to be copied.
    list: Vec<Option<Tensor>>,
}

impl Copies {
    fn new(parameters: usize) -> Self {
        Self { list: (0..parameters).map(|_| None).collect() }
    }

    /// The L1 norms of the changes since the last call, `None` where there was no copy; then copies anew.
    pub(super) fn deltas(&mut self, tensors: &[(ParamId, Tensor)]) -> Result<Vec<Option<f64>>> {
        let mut found = vec![None; self.list.len()];
        if self.list.is_empty() {
            return Ok(found);
        }
        let _no_grad = tch::no_grad_guard();
        let failed = |error: tch::TchError| Error::torch("measuring a change", &error);
        let mut changes = Vec::new();
        for (id, tensor) in tensors {
            let copy = &mut self.list[id.index()];
            match copy {
                Some(copy) => {
                    changes.push((id, wide(tensor).and_then(|wide| wide.f_sub(copy)).map_err(failed)?));
                    copy.f_copy_(tensor).map_err(failed)?;
                }
                None => *copy = Some(copied(tensor).map_err(failed)?),
            }
        }
        let differences: Vec<&Tensor> = changes.iter().map(|(_, change)| change).collect();
        for ((id, _), sums) in changes.iter().zip(gradients::sums_of_tensors(&differences)?) {
            found[id.index()] = Some(sums.absolute);
        }
        Ok(found)
    }

    /// The copies that there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ParamId, &Tensor)> {
        let there = self.list.iter().enumerate();
        there.filter_map(|(index, copy)| Some((ParamId::new(index), copy.as_ref()?)))
    }

    /// Whether these can be its copies; why not.
    pub(super) fn check(&self, copies: &[(ParamId, Tensor)]) -> Result<(), String> {
        match copies.iter().find(|(id, _)| id.index() >= self.list.len()) {
            None => Ok(()),
            Some(_) => Err("it has copies of tensors that no policy reads here".to_owned()),
        }
    }

    /// Takes these for its copies.
    pub(super) fn put(&mut self, copies: Vec<(ParamId, Tensor)>) {
        self.forget_all();
        for (id, copy) in copies {
            if let Some(place) = self.list.get_mut(id.index()) {
                *place = Some(copy);
            }
        }
    }

    /// Drops all copies, so that nothing is compared until there are new ones.
    pub(super) fn forget_all(&mut self) {
        self.list.iter_mut().for_each(|copy| *copy = None);
    }

    fn forget(&mut self, id: ParamId) {
        if let Some(copy) = self.list.get_mut(id.index()) {
            *copy = None;
        }
    }

    fn bytes(&self) -> u64 {
        self.list.iter().flatten().map(byte_len).sum()
    }
}

/// A copy that shares nothing with the tensor.
fn copied(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    let mut copy = tensor.f_detach()?.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

/// In f32, where the kind is narrower: a difference may be more than f16 can hold.
fn wide(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => tensor.f_to_kind(Kind::Float),
        _ => Ok(tensor.shallow_clone()),
    }
}
