//! Parameters of no component, such as biases, norms and embeddings: the block that each follows, and freezing with it.

use std::collections::BTreeSet;

use crate::component::{ComponentKind, ComponentMap};
use crate::config::{Followers as Setting, Tied};
use crate::parameters::{ParamId, Parameters};
use crate::tracker::FreezeTracker;

/// The parameters of no component, each with the transformer block that it follows, where it follows one.
#[derive(Debug)]
pub(super) struct Followers {
    list: Vec<(ParamId, Option<u32>)>,
    /// Whether they freeze with their block.
    closes: bool,
    /// The block whose freeze detaches the input side of a tied embedding.
    detaches: Option<u32>,
    /// The blocks whose followers are frozen.
    closed: BTreeSet<u32>,
    frozen: BTreeSet<ParamId>,
}

impl Followers {
    /// Finds the block that each parameter follows.
    ///
    /// Biases and norms follow their own block. With [`Setting::WithBlock`] the embeddings follow the first block, through
    /// which all of their gradient comes; those that are the output matrix too do so with [`Tied::Both`] only.
    pub(super) fn new(setting: Setting, tied: Tied, map: &ComponentMap, parameters: &Parameters) -> Self {
        let closes = setting == Setting::WithBlock;
        let layers = map.components().iter().map(|component| component.layer);
        let first = layers.chain(map.left_out().iter().map(|out| out.layer)).flatten().min();
        let has_head = map.left_out().iter().any(|out| out.kind == ComponentKind::Head);
        // A tensor under two names is the output layer too.
        let is_tied = |id: ParamId| !has_head || parameters.aliases().iter().any(|(_, other)| *other == id);
        let leader = |id: ParamId, kind: ComponentKind, layer: Option<u32>| match (kind, layer) {
            (ComponentKind::Embedding, None) if closes && (tied == Tied::Both || !is_tied(id)) => first,
            _ => layer,
        };
        let list = map.left_out().iter().filter_map(|out| {
            let id = parameters.id_of(&out.name)?;
            Some((id, leader(id, out.kind, out.layer)))
        });
        let embeddings = map.left_out().iter().filter(|out| out.kind == ComponentKind::Embedding);
        let any_tied = embeddings.filter_map(|out| parameters.id_of(&out.name)).any(&is_tied);
        let detaches = first.filter(|_| closes && tied == Tied::Head && any_tied);
        Self { list: list.collect(), closes, detaches, closed: BTreeSet::new(), frozen: BTreeSet::new() }
    }

    /// Returns whether the input side of a tied embedding is frozen.
    pub(super) fn input_is_frozen(&self) -> bool {
        self.detaches.is_some_and(|block| self.closed.contains(&block))
    }

    /// Returns the parameters that train, each with the block that it follows.
    pub(super) fn active(&self) -> impl Iterator<Item = (ParamId, Option<u32>)> {
        self.list.iter().filter(|(id, _)| !self.frozen.contains(id)).copied()
    }

    /// Returns the parameters that follow this block, and those that follow all blocks.
    pub(super) fn of_block_or_all(&self, block: Option<u32>) -> Vec<ParamId> {
        let follows = |layer: &Option<u32>| layer.is_none() || *layer == block;
        self.list.iter().filter(|(_, layer)| follows(layer)).map(|(id, _)| *id).collect()
    }

    /// Marks the followers of each block whose components are now all frozen, and returns them.
    pub(super) fn close(&mut self, tracker: &FreezeTracker) -> Vec<ParamId> {
        if !self.closes {
            return Vec::new();
        }
        let (training, frozen) = blocks(tracker);
        let now = frozen.difference(&training).filter(|block| !self.closed.contains(block));
        let now: BTreeSet<u32> = now.copied().collect();
        let ids = self.of(&now);
        for block in &now {
            tracing::info!(target: "grades", block, "all components of a block are frozen");
        }
        self.frozen.extend(&ids);
        self.closed.extend(now);
        ids
    }

    /// Unmarks the followers of each block of which a component was thawed, and returns them.
    pub(super) fn open(&mut self, tracker: &FreezeTracker) -> Vec<ParamId> {
        let (training, _) = blocks(tracker);
        let now: BTreeSet<u32> = self.closed.intersection(&training).copied().collect();
        let ids = self.of(&now);
        self.frozen.retain(|id| !ids.contains(id));
        self.closed.retain(|block| !now.contains(block));
        ids
    }

    /// Returns the blocks whose followers are frozen.
    pub(super) fn closed(&self) -> impl Iterator<Item = u32> {
        self.closed.iter().copied()
    }

    /// Restores what [`closed`](Self::closed) returned.
    pub(super) fn restore(&mut self, closed: Vec<u32>) {
        self.closed = closed.into_iter().collect();
        self.frozen = self.of(&self.closed).into_iter().collect();
    }

    fn of(&self, blocks: &BTreeSet<u32>) -> Vec<ParamId> {
        let following = |layer: &Option<u32>| layer.is_some_and(|layer| blocks.contains(&layer));
        self.list.iter().filter(|(_, layer)| following(layer)).map(|(id, _)| *id).collect()
    }
}

/// Returns the blocks with a component that trains, and those with a frozen one.
fn blocks(tracker: &FreezeTracker) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut training, mut frozen) = (BTreeSet::new(), BTreeSet::new());
    for (index, component) in tracker.components().iter().enumerate() {
        let Some(layer) = component.layer else { continue };
        let into = if tracker.is_frozen(index) { &mut frozen } else { &mut training };
        into.insert(layer);
    }
    (training, frozen)
}
