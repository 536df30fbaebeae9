//! Sums the gradients of a step over all ranks.

use tch::Tensor;

use super::buckets::{Buckets, Item, Layout};
use super::group::Group;
use super::sharding::{Sharding, owners};
use crate::error::Result;
use crate::optim::reduction::{Listed, Owners, Reduction, Traffic};
use crate::torch::buckets::{BucketHooks, Counts, Member};
use crate::torch::byte_len;
use crate::torch::c10d::PendingSum;

/// The sums of gradients over the ranks of a group.
#[derive(Debug)]
pub(crate) struct GradientSum {
    // Before the group, which its hooks use.
    hooks: Option<BucketHooks>,
    /// The comparison of the decisions of the last step, under way.
    proposal: Option<PendingSum>,
    group: Group,
    config: Buckets,
    /// A hash of the list, which is compared along with the decisions.
    layout: u32,
    traffic: Traffic,
}

impl GradientSum {
    pub(crate) fn new(group: Group, config: Buckets) -> Self {
        Self { hooks: None, proposal: None, group, config, layout: 0, traffic: Traffic::default() }
    }

    /// Returns the rank that updates each parameter, given the bytes of each; `None` where all do.
    pub(crate) fn owners(&self, bytes: &[u64]) -> Option<Owners> {
        let sharded = self.config.sharding == Sharding::Optimizer;
        sharded.then(|| Owners { rank: self.group.rank(), of: owners(bytes, self.group.world()) })
    }

    /// Returns the names of the parameters that are sent late.
    pub(crate) fn late(&self) -> &[String] {
        &self.config.late
    }
}

impl Reduction for GradientSum {
    fn set_list(&mut self, list: &[Listed<'_>]) -> Result<()> {
        // The hooks of the old list first: a parameter has room for one.
        self.hooks = None;
        let items: Vec<Item> = list.iter().map(|listed| self.item(listed)).collect();
        let layout = Layout::new(&items, self.config.bytes);
        let mut text = format!("{:?}\n", self.config);
        let mut members = Vec::with_capacity(list.len());
        for (listed, bucket) in list.iter().zip(&layout.bucket) {
            let tensor: &Tensor = listed.tensor;
            text += &format!("{} {:?} {:?} {bucket}\n", listed.name, tensor.size(), tensor.kind());
            members.push(Member { name: listed.name, tensor, bucket: *bucket, owner: listed.owner });
        }
        self.layout = crc32fast::hash(text.as_bytes());
        let counts = Counts { all: layout.buckets, early: layout.early };
        let widen = self.config.widen;
        let hooks = self
            .group
            .call("listing gradients", |processes| BucketHooks::new(processes, &members, counts, widen))?;
        self.hooks = Some(hooks);
        Ok(())
    }

    fn propose(&mut self, state: u32) -> Result<()> {
        self.verify()?;
        let state = [state.to_le_bytes(), self.layout.to_le_bytes()].concat();
        self.proposal = Some(self.group.begin_compare(crc32fast::hash(&state))?);
        Ok(())
    }

    fn verify(&mut self) -> Result<()> {
        let Some(proposal) = self.proposal.take() else { return Ok(()) };
        self.group.end_compare("step, learning rate and frozen components", proposal)
    }

    fn begin(&mut self) -> Result<()> {
        let Some(hooks) = self.hooks.as_ref().filter(|_| self.config.overlap) else { return Ok(()) };
        self.group.call("sending gradients", |_| hooks.begin())?;
        self.group.set_sending(true);
        Ok(())
    }

    fn finish(&mut self, extra: &mut [f64]) -> Result<()> {
        self.group.set_sending(false);
        let Some(hooks) = &self.hooks else { return Ok(()) };
        let raw = self.group.call_sending("summing gradients", |_| hooks.finish(extra))?;
        self.traffic = Traffic {
            bytes: raw.bytes,
            buckets: raw.buckets,
            early: raw.early,
            weights: 0,
            waited: std::time::Duration::from_secs_f64(raw.waited.max(0.0)),
        };
        Ok(())
    }

    fn reset(&mut self) -> Result<()> {
        let Some(hooks) = &self.hooks else { return Ok(()) };
        self.group.call("clearing gradients", |_| hooks.reset())
    }

    fn share(&mut self, weights: &[Listed<'_>]) -> Result<()> {
        let owned = weights.iter().filter_map(|listed| Some((listed.tensor, listed.owner?)));
        let (tensors, owners): (Vec<&Tensor>, Vec<usize>) = owned.unzip();
        self.traffic.weights =
            self.group.call("sending weights", |processes| processes.share(&tensors, &owners))?;
        Ok(())
    }

    fn sum_numbers(&self, values: &mut [f64]) -> Result<()> {
        self.group.sum(values)
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        self.group.gather(values)
    }

    fn send(&self, tensors: &[&Tensor], to: usize) -> Result<()> {
        self.group.call("sending the optimizer's state", |processes| processes.send(tensors, to))
    }

    fn receive(&self, tensors: &[&Tensor], from: usize) -> Result<()> {
        self.group.call("receiving the optimizer's state", |processes| processes.receive(tensors, from))
    }

    fn memory(&self) -> u64 {
        // The number is for display; a failure shows at the next call.
        self.hooks.as_ref().and_then(|hooks| hooks.bytes().ok()).unwrap_or(0)
    }

    fn compare(&self, what: &str, bytes: &[u8]) -> Result<()> {
        self.group.compare(what, bytes)
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

impl GradientSum {
    fn item(&self, listed: &Listed<'_>) -> Item {
        let (tensor, late) = (listed.tensor, self.config.late.iter().any(|name| name == listed.name));
        Item { bytes: byte_len(tensor), dtype: tensor.kind(), device: tensor.device(), late }
    }
}
