//! Writes `statistics.jsonl`: the values that the policies compared, check by check.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use serde::{Deserialize, Serialize};

use super::StepObserver;
use crate::component::{Component, ComponentKind};
use crate::error::{Error, Result};
use crate::policy::{Cause, Measure};
use crate::tracker::{Checked, StepReport};

/// Writes the comparison that the policy of every component made, one JSON line a check.
///
/// The first line names the components. The numbers of all other lines are in its order; `null` stands for a component
/// that was not asked, because it cools or is frozen, or whose policy has nothing to compare yet:
///
/// ```text
/// {"components":[{"name":"layer.0.query","kind":"query","layer":0,"parameters":4096}, …]}
/// {"step":21,"policy":"signal-fraction","statistic":"signal-fraction","threshold":0.005,"values":[0.0413, …]}
/// ```
///
/// `threshold` is one number where all have the same, else a list; `null` where a policy names none. Where components
/// have different policies or statistics, a check has a line for each. Numbers have six significant digits.
///
/// ```
/// use grades::component::{Component, ComponentKind};
/// use grades::observe::{StatisticsLog, StepObserver};
/// use grades::tracker::StepReport;
///
/// let components = [Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 64)];
/// let mut log = StatisticsLog::start("statistics.jsonl", Vec::new(), &components)?;
/// log.on_step(&StepReport::new(1, 100, 1))?; // nothing was compared: no line
/// assert_eq!(log.into_inner().iter().filter(|byte| **byte == b'\n').count(), 1);
/// # Ok::<(), grades::Error>(())
/// ```
pub struct StatisticsLog<W> {
    name: String,
    writer: W,
}

/// The first line of `statistics.jsonl`: the components, in the order of the values of all other lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsHeader {
    /// The components.
    pub components: Vec<ComponentRecord>,
}

/// A component, as `statistics.jsonl` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentRecord {
    /// Its name.
    pub name: String,
    /// Its role.
    pub kind: ComponentKind,
    /// Its transformer block.
    pub layer: Option<u32>,
    /// Its number of elements.
    pub parameters: u64,
}

/// Any other line of `statistics.jsonl`: the comparisons of one policy at one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatisticsRecord {
    /// The optimizer step whose gradients were measured.
    pub step: u64,
    /// The policy.
    pub policy: Cow<'static, str>,
    /// The quantity that it compared.
    pub statistic: Measure,
    /// The threshold, or the threshold of each component.
    pub threshold: Thresholds,
    /// A value for each component; `None` where nothing was compared.
    pub values: Vec<Option<f64>>,
}

/// One threshold for all components, or one for each; `None` where a policy names none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Thresholds {
    /// All components have the same.
    One(Option<f64>),
    /// The components have different ones.
    Each(Vec<Option<f64>>),
}

impl Thresholds {
    /// Returns the threshold of the component at `index`.
    pub fn of(&self, index: usize) -> Option<f64> {
        match self {
            Self::One(threshold) => *threshold,
            Self::Each(thresholds) => thresholds.get(index).copied().flatten(),
        }
    }
}

impl From<&Component> for ComponentRecord {
    fn from(component: &Component) -> Self {
        let Component { name, kind, layer, elements, .. } = component;
        Self { name: name.clone(), kind: *kind, layer: *layer, parameters: *elements }
    }
}

impl<W: Write> StatisticsLog<W> {
    /// Creates a log and writes its first line, the components; errors call its file `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the first line cannot be written.
    pub fn start(name: impl Into<String>, writer: W, components: &[Component]) -> Result<Self> {
        let mut log = Self::resume(name, writer);
        let components = components.iter().map(ComponentRecord::from).collect();
        log.write(&StatisticsHeader { components })?;
        log.flush()?;
        Ok(log)
    }

    /// Creates a log that goes on in a file that [`start`](Self::start) began for the same components.
    pub fn resume(name: impl Into<String>, writer: W) -> Self {
        Self { name: name.into(), writer }
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.writer
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).map_err(|error| self.failed(error.into()))?;
        bytes.push(b'\n');
        self.writer.write_all(&bytes).map_err(|source| self.failed(source))
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { doing: format!("writing {}", self.name), source }
    }
}

impl<W> fmt::Debug for StatisticsLog<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatisticsLog").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<W: Write> StepObserver for StatisticsLog<W> {
    fn on_step(&mut self, report: &StepReport) -> Result<()> {
        let Some(Checked { step, compared, .. }) = &report.checked else { return Ok(()) };
        // The first of each pair of a policy and a statistic, in the order of the components.
        let mut groups: Vec<&Cause> = Vec::new();
        for cause in compared.iter().flatten() {
            if !groups.iter().any(|first| is_alike(first, cause)) {
                groups.push(cause);
            }
        }
        for first in &groups {
            let alike = |cause: &&Cause| is_alike(first, cause);
            let causes: Vec<Option<&Cause>> =
                compared.iter().map(|cause| cause.as_ref().filter(alike)).collect();
            let one =
                causes.iter().flatten().all(|cause| cause.threshold.to_bits() == first.threshold.to_bits());
            let threshold = match one {
                true => Thresholds::One(number(first.threshold)),
                false => Thresholds::Each(
                    causes.iter().map(|cause| cause.and_then(|cause| number(cause.threshold))).collect(),
                ),
            };
            let values = causes.iter().map(|cause| cause.and_then(|cause| number(cause.value))).collect();
            let (policy, statistic) = (first.policy.clone(), first.measure);
            self.write(&StatisticsRecord { step: *step, policy, statistic, threshold, values })?;
        }
        // A run that is killed leaves whole lines.
        if groups.is_empty() { Ok(()) } else { self.flush() }
    }
}

fn is_alike(one: &Cause, other: &Cause) -> bool {
    one.policy == other.policy && one.measure == other.measure
}

/// Rounds a finite number to six significant digits: more are noise, and twice the bytes.
fn number(value: f64) -> Option<f64> {
    if value.is_finite() { format!("{value:.5e}").parse().ok() } else { None }
}
