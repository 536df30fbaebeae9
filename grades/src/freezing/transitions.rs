//! Carries out decisions: freezes and thaws the parameters of components.

use super::cooldown::Cooldown;
use super::memory::Memory;
use super::monitor::Monitor;
use super::over_ranks::OverRanks;
use super::params::{ParamSet, ids_of};
use super::reclaim::Reclaim;
use crate::error::Result;
use crate::optim::InnerOptimizer;
use crate::parameters::ParamId;
use crate::tracker::{FreezeEvent, FreezeTracker, Transition};

/// The parts of a wrapper that a freeze or a thaw changes.
pub(super) struct Transitions<'a, O> {
    pub(super) inner: &'a mut O,
    pub(super) tracker: &'a FreezeTracker,
    pub(super) params: &'a mut ParamSet,
    pub(super) monitor: &'a mut Monitor,
    pub(super) cooldown: &'a mut Cooldown,
    pub(super) reclaim: &'a mut Reclaim,
    pub(super) ranks: &'a mut Option<OverRanks>,
}

impl<O: InnerOptimizer> Transitions<'_, O> {
    /// Freezes and thaws the parameters of the components that these events name.
    pub(super) fn apply(&mut self, events: &[FreezeEvent]) -> Result<()> {
        let (mut freezing, mut thawing) = (Vec::new(), Vec::new());
        for event in events {
            event.log();
            let Some(component) = self.tracker.components().get(event.index) else { continue };
            match event.event {
                Transition::Cool => {}
                Transition::Freeze => {
                    self.monitor.forget(event.index, component);
                    freezing.extend(ids_of(component));
                }
                Transition::Thaw => {
                    self.cooldown.restart_followers(event.layer, self.params);
                    thawing.extend(ids_of(component));
                }
            }
        }
        if freezing.is_empty() && thawing.is_empty() {
            return Ok(());
        }
        let (thawed, frozen) = self.params.update_followers(self.tracker);
        thawing.extend(thawed);
        freezing.extend(frozen);
        if let Some(ranks) = self.ranks {
            ranks.set_changed();
        }
        self.thaw(&thawing)?;
        self.freeze(&freezing)
    }

    /// Applies the means of these parameters, freezes them, and frees their state in the inner optimizer.
    fn freeze(&mut self, ids: &[ParamId]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let before = self.params.on_cuda().then(|| self.memory());
        self.cooldown.apply(ids, self.params)?;
        self.params.freeze(ids)?;
        self.inner.release(ids)?;
        match before {
            Some(before) => self.reclaim.record(before, self.memory()),
            None => Ok(()),
        }
    }

    /// Lets these parameters train again, as if they were new.
    fn thaw(&mut self, ids: &[ParamId]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.inner.readmit(ids)?;
        self.cooldown.thaw(ids);
        self.params.thaw(ids)
    }

    /// Returns the bytes that are allocated now.
    fn memory(&self) -> u64 {
        Memory::of(self.params, self.monitor, self.cooldown, self.inner).total()
    }
}
