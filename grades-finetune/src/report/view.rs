//! What the pictures and the terminal show of a run, worked out once.

use grades::component::ComponentKind;
use grades::observe::ComponentRecord;
use grades::tracker::{FreezeEvent, Transition};

use super::read::RunData;
use crate::records::StepRecord;

/// A run, its components in groups, and what became of each.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// The run.
    pub(crate) run: &'a RunData,
    /// The groups that are told apart by colour: kinds, or for adapters the layers' names.
    pub(crate) roles: Vec<String>,
    /// The transformer blocks, in order.
    pub(crate) layers: Vec<u32>,
    /// What became of each component, in the order of the components.
    pub(crate) fates: Vec<Fate<'a>>,
}

/// What became of a component.
#[derive(Debug, Clone)]
pub(crate) struct Fate<'a> {
    /// The component.
    pub(crate) component: &'a ComponentRecord,
    /// Its group, as a position.
    pub(crate) role: usize,
    /// The decision that it has converged, where it cooled first.
    pub(crate) cooled: Option<&'a FreezeEvent>,
    /// Its last freeze, unless it was thawed since.
    pub(crate) frozen: Option<&'a FreezeEvent>,
    /// How many times it was thawed.
    pub(crate) thaws: usize,
}

/// What freezing saved, apart: steps that cost less, and steps that were not run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Savings {
    /// The share of all planned updates of weights that were not made, from 0 to 1.
    pub(crate) updates: Option<f64>,
    /// Seconds by which steps were cheaper than those before the first freeze.
    pub(crate) cheaper: Option<f64>,
    /// Steps that were planned and not run, because enough was frozen.
    pub(crate) fewer_steps: u64,
    /// Seconds that they would have taken.
    pub(crate) fewer: Option<f64>,
}

impl<'a> View<'a> {
    /// Looks at a run.
    pub(crate) fn new(run: &'a RunData) -> Self {
        let named: Vec<String> = run.components.iter().map(|component| role_of(component, run)).collect();
        let mut roles: Vec<(usize, String)> = run
            .components
            .iter()
            .zip(&named)
            .map(|(component, role)| {
                let place = ComponentKind::ALL.iter().position(|kind| *kind == component.kind);
                (place.unwrap_or(ComponentKind::ALL.len()), role.clone())
            })
            .collect();
        roles.sort();
        roles.dedup();
        let roles: Vec<String> = roles.into_iter().map(|(_, role)| role).collect();
        let mut layers: Vec<u32> = run.components.iter().filter_map(|component| component.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        let mut fates: Vec<Fate<'a>> = run
            .components
            .iter()
            .zip(&named)
            .map(|(component, role)| Fate {
                component,
                role: roles.iter().position(|known| known == role).unwrap_or(0),
                cooled: None,
                frozen: None,
                thaws: 0,
            })
            .collect();
        for event in &run.events {
            let Some(fate) = fates.iter_mut().find(|fate| fate.component.name == event.component) else {
                continue;
            };
            match event.event {
                Transition::Cool => fate.cooled = Some(event),
                Transition::Freeze => fate.frozen = Some(event),
                _ => (fate.cooled, fate.frozen, fate.thaws) = (None, None, fate.thaws + 1),
            }
        }
        Self { run, roles, layers, fates }
    }

    /// How many are frozen at the end.
    pub(crate) fn frozen(&self) -> usize {
        self.fates.iter().filter(|fate| fate.frozen.is_some()).count()
    }

    /// The first and the last step at which a component froze that is still frozen.
    pub(crate) fn freeze_range(&self) -> Option<(u64, u64)> {
        let steps = || self.fates.iter().filter_map(|fate| fate.frozen.map(|event| event.step));
        Some((steps().min()?, steps().max()?))
    }

    /// The name of a component's block.
    pub(crate) fn block(layer: Option<u32>) -> String {
        layer.map_or_else(|| "–".to_owned(), |layer| layer.to_string())
    }

    /// What freezing saved.
    pub(crate) fn savings(&self) -> Savings {
        let planned = self.run.planned_steps();
        let all: f64 = self.fates.iter().map(|fate| fate.component.parameters as f64).sum();
        let saved = self.fates.iter().filter_map(|fate| {
            let event = fate.frozen?;
            Some(fate.component.parameters as f64 * planned.saturating_sub(event.step) as f64)
        });
        let updates = (all > 0.0 && planned > 0).then(|| saved.sum::<f64>() / (all * planned as f64));
        let by_freezes = self.run.summary.as_ref().is_some_and(|summary| summary.ended.is_by_freezing());
        let fewer_steps = if by_freezes { planned.saturating_sub(self.run.last_step()) } else { 0 };

        let times = step_seconds(&self.run.steps);
        let first = self.run.steps.iter().position(|line| line.components.frozen > 0);
        // The first step warms up, and is not like the others.
        let before: Vec<f64> = match first {
            Some(first) if first > 5 => times[1..first].to_vec(),
            _ => Vec::new(),
        };
        let usual = median(before);
        let cheaper =
            usual.zip(first).map(|(usual, first)| times[first..].iter().map(|time| usual - time).sum());
        Savings { updates, cheaper, fewer_steps, fewer: usual.map(|usual| usual * fewer_steps as f64) }
    }
}

/// The seconds of each step; what a resumed run counts anew is not negative.
pub(crate) fn step_seconds(steps: &[StepRecord]) -> Vec<f64> {
    let mut before = 0.0;
    let one = |line: &StepRecord| {
        let seconds = line.work.seconds - before;
        before = line.work.seconds;
        if seconds >= 0.0 { seconds } else { f64::NAN }
    };
    steps.iter().map(one).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A component's kind; where a block has several of one kind, such as adapters, what its name has after the block's number.
fn role_of(component: &ComponentRecord, run: &RunData) -> String {
    let alike = |other: &&ComponentRecord| {
        other.layer == component.layer && other.kind == component.kind && component.layer.is_some()
    };
    if run.components.iter().filter(alike).nth(1).is_none() {
        return component.kind.name().to_owned();
    }
    let number = component.layer.map(|layer| format!(".{layer}.")).unwrap_or_default();
    let tail = component.name.rsplit_once(&number).map_or(component.name.as_str(), |(_, tail)| tail);
    if tail.is_empty() { component.kind.name().to_owned() } else { tail.to_owned() }
}
