//! `statistics.jsonl`.

use std::path::Path;

use anyhow::{Result, bail};
use grades::observe::{ComponentRecord, StatisticsRecord};
use grades::policy::Measure;

use crate::records::{Ending, StatisticsLine, read_lines};

/// One statistic of all components over the checks.
#[derive(Debug, Clone, PartialEq)]
pub struct StatisticPanel {
    /// The statistic.
    pub statistic: Measure,
    /// The policies that compared it, sorted.
    pub policies: Vec<String>,
    /// The steps of the checks.
    pub steps: Vec<u64>,
    /// A series for each component that was ever measured.
    pub series: Vec<StatisticSeries>,
}

/// One component's values; NaN where it was not measured.
#[derive(Debug, Clone, PartialEq)]
pub struct StatisticSeries {
    /// The component's position.
    pub component: usize,
    /// As many as there are checks.
    pub values: Vec<f64>,
    /// The thresholds of the values.
    pub thresholds: Vec<f64>,
}

impl StatisticPanel {
    /// Returns the one threshold that all were compared with, if there is one.
    pub fn common_threshold(&self) -> Option<f64> {
        let mut all = self.series.iter().flat_map(|series| {
            series.thresholds.iter().zip(&series.values).filter(|(_, value)| value.is_finite())
        });
        let first = *all.next()?.0;
        (first.is_finite() && all.all(|(threshold, _)| *threshold == first)).then_some(first)
    }

    /// Drops the checks from a step on.
    fn forget_from(&mut self, step: u64) {
        let at = self.steps.partition_point(|known| *known < step);
        self.steps.truncate(at);
        for series in &mut self.series {
            series.values.truncate(at);
            series.thresholds.truncate(at);
        }
    }
}

/// Reads the components and what was measured of them; nothing when there is no such file.
pub(super) fn read(path: &Path) -> Result<(Vec<ComponentRecord>, Vec<StatisticPanel>)> {
    let mut components: Vec<ComponentRecord> = Vec::new();
    let mut panels: Vec<StatisticPanel> = Vec::new();
    let mut last = 0;
    for (index, line) in read_lines(path, Ending::MayBeCut)?.into_iter().enumerate() {
        let StatisticsRecord { step, policy, statistic, threshold, values } = match line {
            StatisticsLine::Check(record) => record,
            // A run that was resumed in another process may name the components again.
            StatisticsLine::Header(header) => {
                if components.is_empty() {
                    components = header.components;
                }
                continue;
            }
        };
        if values.len() != components.len() {
            bail!(
                "{}:{}: {} values for {} components",
                path.display(),
                index + 1,
                values.len(),
                components.len()
            );
        }
        // Measurements of a resumed run replace those of the same steps before.
        if step < last {
            panels.iter_mut().for_each(|panel| panel.forget_from(step));
        }
        last = step;
        let place = panels.iter().position(|panel| panel.statistic == statistic).unwrap_or_else(|| {
            let (policies, steps, series) = (Vec::new(), Vec::new(), Vec::new());
            panels.push(StatisticPanel { statistic, policies, steps, series });
            panels.len() - 1
        });
        let panel = &mut panels[place];
        if !panel.policies.iter().any(|known| *known == policy) {
            panel.policies.push(policy.into_owned());
            panel.policies.sort();
        }
        let at = panel.steps.partition_point(|known| *known < step);
        if panel.steps.get(at) != Some(&step) {
            panel.steps.push(step);
        }
        for (component, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            // Series are in the order of the components.
            let place = match panel.series.binary_search_by_key(&component, |series| series.component) {
                Ok(place) => place,
                Err(place) => {
                    let (values, thresholds) = (Vec::new(), Vec::new());
                    panel.series.insert(place, StatisticSeries { component, values, thresholds });
                    place
                }
            };
            let series = &mut panel.series[place];
            let threshold = threshold.of(component);
            series.values.resize(at, f64::NAN);
            series.thresholds.resize(at, f64::NAN);
            series.values.push(*value);
            series.thresholds.push(threshold.unwrap_or(f64::NAN));
        }
    }
    for panel in &mut panels {
        let checks = panel.steps.len();
        for series in &mut panel.series {
            series.values.resize(checks, f64::NAN);
            series.thresholds.resize(checks, f64::NAN);
        }
    }
    Ok((components, panels))
}
