//! The events of a run, in groups of what happened together for one reason.

use std::collections::BTreeMap;

use grades::tracker::{FreezeEvent, Transition};

use super::analysis::{DEADLINE, reason};
use super::svg::plain;

/// A line of the timeline: an event, or several that happened together.
pub(super) struct Entry<'a> {
    /// The events; there is one at least.
    pub(super) events: Vec<&'a FreezeEvent>,
    first: &'a FreezeEvent,
    /// The step of the decision, for freezes after a cool-down.
    decided: Option<u64>,
}

/// Groups events of one step that have one reason; with `each` they stay apart.
pub(super) fn entries(events: &[FreezeEvent], each: bool) -> Vec<Entry<'_>> {
    let mut cooling: BTreeMap<&str, u64> = BTreeMap::new();
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for event in events {
        let decided = match event.event {
            Transition::Cool => {
                cooling.insert(&event.component, event.step);
                None
            }
            Transition::Freeze => cooling.remove(&*event.component),
            _ => None,
        };
        let entry = Entry { events: vec![event], first: event, decided };
        let now = entries.iter_mut().rev().take_while(|before| before.first.step == event.step);
        match now.into_iter().find(|before| !each && before.is_like(&entry)) {
            Some(before) => before.events.push(event),
            None => entries.push(entry),
        }
    }
    entries
}

impl Entry<'_> {
    /// Returns the first event.
    pub(super) fn event(&self) -> &FreezeEvent {
        self.first
    }

    /// Returns whether two have one reason: a decision before the cool-down, or what was compared, by which policy.
    fn is_like(&self, other: &Self) -> bool {
        let cause = |entry: &Self| (entry.first.policy.clone(), entry.first.statistic);
        (self.first.event, self.decided) == (other.first.event, other.decided)
            && (self.decided.is_some() || cause(self) == cause(other))
    }

    /// Says what happened.
    pub(super) fn what(&self) -> String {
        let (count, component) = (self.events.len(), &self.first.component);
        match self.first.event {
            Transition::Cool if count > 1 => format!("{count} components cool"),
            Transition::Freeze if count > 1 => format!("{count} components froze"),
            Transition::Thaw if count > 1 => format!("{count} components thawed"),
            Transition::Cool => format!("cools   {component}"),
            Transition::Freeze => format!("froze   {component}"),
            Transition::Thaw => format!("thawed  {component}"),
            _ => format!("changed {component}"),
        }
    }

    /// Says why.
    pub(super) fn why(&self) -> String {
        match (self.decided, self.events.as_slice()) {
            (Some(step), _) => format!("as decided at step {step}"),
            (None, [event]) => reason(event),
            (None, [event, ..]) if event.policy == DEADLINE => {
                format!("by the deadline ({} steps left)", plain(event.value))
            }
            (None, [event, ..]) => {
                let values = range(self.events.iter().map(|event| event.value));
                let thresholds = range(self.events.iter().map(|event| event.threshold));
                let (statistic, policy) = (event.statistic.name(), &*event.policy);
                let by = if policy == statistic { String::new() } else { format!(" ({policy})") };
                format!("{statistic} {values} against {thresholds}{by}")
            }
            (None, []) => String::new(),
        }
    }
}

/// Writes the smallest and the largest of several numbers.
fn range(values: impl Iterator<Item = f64>) -> String {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = (plain(low), plain(high));
    if low == high { low } else { format!("{low} to {high}") }
}
