//! Training in a group of processes: what the wrapper does between the last backward pass and the update.

use super::FreezingOptimizer;
#[cfg(feature = "distributed")]
use crate::component::{ComponentKind, ComponentMap};
#[cfg(feature = "distributed")]
use crate::distributed::{Buckets, GradientSum, Group};
use crate::error::Result;
#[cfg(feature = "distributed")]
use crate::error::{Error, first_line};
#[cfg(feature = "distributed")]
use crate::freezing::over_ranks::OverRanks;
#[cfg(feature = "distributed")]
use crate::optim::reduction::Traffic;
use crate::optim::{Hyperparameter, InnerOptimizer};
#[cfg(feature = "distributed")]
use crate::parameters::{ParamId, Parameters};

#[cfg(feature = "distributed")]
impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Trains with the other processes of a group: the gradients of each step are summed over all ranks before the update.
    ///
    /// They are sums, not means: each rank multiplies its loss by its share of the step's examples. Then W ranks with k
    /// micro-batches each are one process with W·k, up to the rounding of the sums. To be called before the first step, by
    /// all ranks, after [`Group::broadcast`].
    ///
    /// Policies that compare two batches (`two-batch`) take a rank's gradient as the small batch; each rank's share of the
    /// step comes from [`backward_accumulate`](Self::backward_accumulate).
    ///
    /// # Errors
    ///
    /// [`Error::Ranks`] when ranks have other parameters, weights or settings, or one is gone, [`Error::Unknown`] for a
    /// name in [`Buckets::with_late`] that is no parameter, and [`Error::Unsupported`] for parameters on a device that the
    /// group's backend does not serve.
    pub fn distributed(mut self, group: &Group, buckets: Buckets) -> Result<Self> {
        let parameters = self.params.all();
        for (_, parameter) in parameters.iter() {
            let device = parameter.device();
            if !group.backend().serves(device) {
                return Err(Error::Unsupported {
                    what: format!(
                        "the backend \"{}\" for the parameter \"{}\"",
                        group.backend(),
                        parameter.name()
                    ),
                    reason: format!(
                        "it is on {device:?}; join with Backend::for_device of the model's device"
                    ),
                });
            }
        }
        let sum = GradientSum::new(group.clone(), buckets);
        if let Some(name) = sum.late().iter().find(|name| parameters.id_of(name).is_none()) {
            return Err(Error::Unknown {
                what: "parameter",
                name: name.clone(),
                nearest: None,
                known: "the trainable variables of the VarStore".to_owned(),
            });
        }
        let order = backward_order(self.tracker.map(), parameters);
        let bytes: Vec<u64> =
            parameters.iter().map(|(_, parameter)| crate::torch::byte_len(parameter.tensor())).collect();
        let owners = sum.owners(&bytes);
        let mut ranks = OverRanks::new(Box::new(sum), order, owners);
        self.compare_with(&ranks)?;
        ranks.end_step(&self.params, self.decisions())?;
        self.monitor.set_over_ranks(group.world() > 1);
        self.ranks = Some(ranks);
        Ok(self)
    }

    /// Checks that all ranks have the same parameters, settings and state of freezing, bit by bit.
    ///
    /// A resumed run calls it once; it reads every weight. Does nothing without a group.
    ///
    /// # Errors
    ///
    /// [`Error::Ranks`] on every rank, naming those that differ from rank 0.
    pub fn compare_ranks(&self) -> Result<()> {
        self.ranks.as_ref().map_or(Ok(()), |ranks| self.compare_with(ranks))
    }

    /// Returns the traffic of the last step's gradients; `None` without a group.
    pub fn traffic(&self) -> Option<Traffic> {
        self.ranks.as_ref().map(|ranks| ranks.reduction().traffic())
    }

    fn compare_with(&self, ranks: &OverRanks) -> Result<()> {
        let parameters = self.params.all();
        let mut text = String::new();
        for (_, parameter) in parameters.iter() {
            text += &format!("{} {:?} {:?}\n", parameter.name(), parameter.shape(), parameter.kind());
        }
        let reduction = ranks.reduction();
        reduction.compare("names and shapes of parameters", text.as_bytes())?;
        let numbers: Vec<_> =
            [Hyperparameter::LearningRate, Hyperparameter::Momentum, Hyperparameter::WeightDecay]
                .map(|which| {
                    (0..parameters.groups()).map(|group| self.inner.get(group, which)).collect::<Vec<_>>()
                })
                .into();
        reduction.compare("optimizer", format!("{} {numbers:?}", self.inner.name()).as_bytes())?;
        let tracker = toml::to_string(&self.tracker.state()?).map_err(|error| Error::State {
            what: "the tracker".to_owned(),
            reason: format!("it cannot be written as TOML: {error}"),
        })?;
        reduction.compare("settings and state of freezing", tracker.as_bytes())?;
        let mut digest = crc32fast::Hasher::new();
        let mut bytes = Vec::new();
        for (_, parameter) in parameters.iter() {
            let copied = crate::torch::copy_bytes(parameter.tensor(), &mut bytes);
            copied.map_err(|error| Error::torch_message("reading a parameter", &first_line(error)))?;
            digest.update(&bytes);
        }
        reduction.compare("weights", &digest.finalize().to_le_bytes())
    }
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Declares that the backward passes from here to the step complete the gradients, so that in a group of processes they
    /// are sent while the backward pass goes on.
    ///
    /// To be called before the backward pass of the last micro-batch. Without the call gradients are sent at the step,
    /// with the same sums; [`backward_step`](Self::backward_step) and its relatives call it themselves. Does nothing
    /// without a group.
    ///
    /// # Errors
    ///
    #[cfg_attr(
        feature = "distributed",
        doc = "[`Error::Ranks`] when ranks decided otherwise in the step before, or one is gone."
    )]
    #[cfg_attr(not(feature = "distributed"), doc = "None without the feature `distributed`.")]
    pub fn begin_last_backward(&mut self) -> Result<()> {
        if self.ranks.is_none()
            || self.tracker.all_frozen()
            || self.monitor.measures_rank(self.steps + 1, &self.tracker)
        {
            return Ok(());
        }
        let state = self.decisions();
        self.ranks.as_mut().map_or(Ok(()), |ranks| ranks.begin(&self.params, state))
    }

    /// Makes every gradient the sum over all ranks now instead of at the step, and sums further numbers along with them, such
    /// as the loss.
    ///
    /// To be called after the last backward pass of a step, before anything else reads the gradients. Does nothing without a
    /// group, and once all components are frozen.
    ///
    /// # Errors
    ///
    /// As [`begin_last_backward`](Self::begin_last_backward).
    pub fn sum_gradients(&mut self, numbers: &mut [f64]) -> Result<()> {
        if self.ranks.is_none() || self.tracker.all_frozen() {
            return Ok(());
        }
        let state = self.decisions();
        let Some(ranks) = self.ranks.as_mut() else { return Ok(()) };
        let measures = ranks.is_local() && self.monitor.measures_rank(self.steps + 1, &self.tracker);
        let small = match measures {
            true => self.monitor.rank_sums(&self.tracker, &self.params)?,
            false => Vec::new(),
        };
        let mut sums = [&*numbers, &small].concat();
        ranks.sum(&self.params, state, &mut sums)?;
        let (summed, small) = sums.split_at(numbers.len());
        numbers.copy_from_slice(summed);
        if measures {
            self.monitor.set_rank_sums(small, &self.tracker, &self.params);
        }
        Ok(())
    }

    /// Makes every gradient the sum over all ranks, once in a step.
    pub(super) fn sum_over_ranks(&mut self) -> Result<()> {
        self.sum_gradients(&mut [])
    }

    /// Ends a step in the group.
    pub(super) fn end_step_in_group(&mut self) -> Result<()> {
        if self.ranks.is_none() {
            return Ok(());
        }
        let state = self.decisions();
        self.ranks.as_mut().map_or(Ok(()), |ranks| ranks.end_step(&self.params, state))
    }

    /// Returns a hash of all that ranks must agree on before they send the gradients of the next step.
    fn decisions(&self) -> u32 {
        let rate = self.inner.get(0, Hyperparameter::LearningRate).unwrap_or_default();
        let mut digest = crc32fast::Hasher::new();
        digest.update(&self.steps.to_le_bytes());
        digest.update(&rate.to_le_bytes());
        for index in 0..self.tracker.total() {
            let state = (self.tracker.is_frozen(index), self.tracker.is_cooling(index));
            digest.update(&[u8::from(state.0), u8::from(state.1)]);
        }
        digest.finalize()
    }
}

/// Returns the parameters in the order in which a backward pass computes their gradients, as far as names say: outputs, the
/// blocks from the last to the first, embeddings.
#[cfg(feature = "distributed")]
fn backward_order(map: &ComponentMap, parameters: &Parameters) -> Vec<ParamId> {
    let mut places: Vec<(u8, std::cmp::Reverse<u32>)> = vec![(1, std::cmp::Reverse(0)); parameters.len()];
    let mut set = |index: usize, kind: ComponentKind, layer: Option<u32>| {
        let place = match (layer, kind) {
            (Some(layer), _) => (1, std::cmp::Reverse(layer)),
            (None, ComponentKind::Embedding) => (2, std::cmp::Reverse(0)),
            (None, _) => (0, std::cmp::Reverse(0)),
        };
        if let Some(entry) = places.get_mut(index) {
            *entry = place;
        }
    };
    for component in map.components() {
        for position in &component.parameters {
            set(*position, component.kind, component.layer);
        }
    }
    for out in map.left_out() {
        if let Some(id) = parameters.id_of(&out.name) {
            set(id.index(), out.kind, out.layer);
        }
    }
    let mut order: Vec<ParamId> = parameters.ids().collect();
    order.sort_by_key(|id| (places[id.index()], std::cmp::Reverse(*id)));
    order
}
