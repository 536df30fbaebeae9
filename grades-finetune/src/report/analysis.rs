//! Analyses a run once, for the pictures and for the terminal.

use grades::component::ComponentKind;
use grades::observe::ComponentRecord;
use grades::tracker::{FreezeEvent, Transition};

use super::read::RunData;
use super::svg::plain;
use crate::records::StepRecord;

/// The name that events have for the deadline of the cool-down, which decides where the policy has not.
pub(crate) const DEADLINE: &str = "deadline";

/// A run, its components in groups, and what became of each.
#[derive(Debug)]
pub(crate) struct Analysis<'a> {
    /// The run.
    pub(crate) run: &'a RunData,
    /// The groups, which colours distinguish: kinds, or for adapters the layers' names.
    pub(crate) groups: Vec<String>,
    /// The transformer blocks, in order.
    pub(crate) layers: Vec<u32>,
    /// The history of each component, in the order of the components.
    pub(crate) histories: Vec<ComponentHistory<'a>>,
}

/// The decision and the freeze of a component.
#[derive(Debug, Clone)]
pub(crate) struct ComponentHistory<'a> {
    /// The component.
    pub(crate) component: &'a ComponentRecord,
    /// Its group, as a position.
    pub(crate) group: usize,
    /// The decision that it has converged, where it cooled first.
    pub(crate) cooled: Option<&'a FreezeEvent>,
    /// Its last freeze, unless it was thawed since.
    pub(crate) frozen: Option<&'a FreezeEvent>,
    /// The number of thaws.
    pub(crate) thaws: usize,
}

/// The savings by freezing, apart: steps that cost less, and steps that were not run.
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

impl<'a> Analysis<'a> {
    /// Analyses a run.
    pub(crate) fn new(run: &'a RunData) -> Self {
        let named: Vec<String> = run.components.iter().map(|component| group_of(component, run)).collect();
        let mut groups: Vec<(usize, String)> = run
            .components
            .iter()
            .zip(&named)
            .map(|(component, group)| {
                let place = ComponentKind::ALL.iter().position(|kind| *kind == component.kind);
                (place.unwrap_or(ComponentKind::ALL.len()), group.clone())
            })
            .collect();
        groups.sort();
        groups.dedup();
        let groups: Vec<String> = groups.into_iter().map(|(_, group)| group).collect();
        let mut layers: Vec<u32> = run.components.iter().filter_map(|component| component.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        let mut histories: Vec<ComponentHistory<'a>> = run
            .components
            .iter()
            .zip(&named)
            .map(|(component, group)| ComponentHistory {
                component,
                group: groups.iter().position(|known| known == group).unwrap_or(0),
                cooled: None,
                frozen: None,
                thaws: 0,
            })
            .collect();
        for event in &run.events {
            let Some(history) =
                histories.iter_mut().find(|history| history.component.name == event.component)
            else {
                continue;
            };
            match event.event {
                Transition::Cool => history.cooled = Some(event),
                Transition::Freeze => history.frozen = Some(event),
                _ => (history.cooled, history.frozen, history.thaws) = (None, None, history.thaws + 1),
            }
        }
        Self { run, groups, layers, histories }
    }

    /// Counts the components that are frozen at the end.
    pub(crate) fn frozen(&self) -> usize {
        self.histories.iter().filter(|history| history.frozen.is_some()).count()
    }

    /// Returns the first and the last step at which a component froze that is still frozen.
    pub(crate) fn freeze_range(&self) -> Option<(u64, u64)> {
        let steps = || self.histories.iter().filter_map(|history| history.frozen.map(|event| event.step));
        Some((steps().min()?, steps().max()?))
    }

    /// Says why little froze, where that can be read off: the deadline decided, not the policy, or all values stayed above their
    /// thresholds.
    pub(crate) fn why_little(&self) -> Option<String> {
        self.by_deadline().or_else(|| self.above_thresholds())
    }

    /// Says how many components the deadline decided, where it was most of them: the run was too short for the policy.
    fn by_deadline(&self) -> Option<String> {
        let decided = || self.histories.iter().filter_map(|history| history.cooled.or(history.frozen));
        let late = decided().filter(|event| event.policy == DEADLINE).count();
        let (all, total) = (decided().count(), self.run.components_total());
        (2 * late > all).then(|| {
            format!(
                "{late} of {total} components were decided by the deadline, not by the policy: \
                 the run was too short for the policy"
            )
        })
    }

    /// Says how far the closest of the components was from its threshold, where most did not freeze and none of those was below.
    fn above_thresholds(&self) -> Option<String> {
        let total = self.run.components_total();
        let is_open = |at: usize| {
            self.histories.get(at).is_some_and(|history| history.cooled.or(history.frozen).is_none())
        };
        let [panel] = self.run.panels.as_slice() else { return None };
        let series = panel.series.iter().filter(|one| is_open(one.component));
        let ends: Vec<(usize, f64, f64)> = series
            .filter_map(|one| {
                let mut pairs = one.values.iter().copied().zip(one.thresholds.iter().copied()).rev();
                let (value, threshold) =
                    pairs.find(|(value, threshold)| value.is_finite() && *threshold > 0.0)?;
                Some((one.component, value, threshold))
            })
            .collect();
        let few = 2 * ends.len() > total && ends.iter().all(|(_, value, threshold)| value > threshold);
        let (at, value, threshold) =
            ends.iter().filter(|_| few).min_by(|a, b| (a.1 / a.2).total_cmp(&(b.1 / b.2)))?;
        Some(format!(
            "{} of {total} components stayed above their thresholds; the closest, {}, ended at {} against {}",
            ends.len(),
            self.histories.get(*at)?.component.name,
            plain(*value),
            plain(*threshold)
        ))
    }

    /// Returns the name of a component's block.
    pub(crate) fn block(layer: Option<u32>) -> String {
        layer.map_or_else(|| "–".to_owned(), |layer| layer.to_string())
    }

    /// Estimates the savings by freezing.
    pub(crate) fn savings(&self) -> Savings {
        let planned = self.run.planned_steps();
        let all: f64 = self.histories.iter().map(|history| history.component.parameters as f64).sum();
        let saved = self.histories.iter().filter_map(|history| {
            let event = history.frozen?;
            Some(history.component.parameters as f64 * planned.saturating_sub(event.step) as f64)
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

/// Computes the seconds of each step; what a resumed run counts anew is not negative.
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

/// Returns a component's kind; where a block has several of one kind, such as adapters, what its name has after the
/// block's number.
fn group_of(component: &ComponentRecord, run: &RunData) -> String {
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

/// Says what decided: what was compared with what, and by which policy unless that has the statistic's name.
pub(crate) fn reason(event: &FreezeEvent) -> String {
    let (value, threshold) = (plain(event.value), plain(event.threshold));
    let (statistic, policy) = (event.statistic.name(), &*event.policy);
    match policy {
        DEADLINE => format!("by the deadline: {value} steps left, {threshold} needed to cool"),
        policy if policy == statistic => format!("{statistic} {value} against {threshold}"),
        policy => format!("{statistic} {value} against {threshold} ({policy})"),
    }
}
