//! `statistics.jsonl`: the components, then the values that policies compared.

use std::borrow::Cow;

use grades::observe::{ComponentRecord, StatisticsHeader, StatisticsRecord, Thresholds};
use grades::policy::Measure;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// The file's name in a run's folder.
pub const STATISTICS: &str = "statistics.jsonl";

/// A line of `statistics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StatisticsLine {
    /// The components, which the first line names.
    Header(StatisticsHeader),
    /// The values of a check.
    Check(StatisticsRecord),
}

/// The fields of either line, so that an error names the field that is wrong.
#[derive(Deserialize)]
struct Fields {
    components: Option<Vec<ComponentRecord>>,
    step: Option<u64>,
    policy: Option<Cow<'static, str>>,
    statistic: Option<Measure>,
    threshold: Option<Thresholds>,
    values: Option<Vec<Option<f64>>>,
}

impl<'de> Deserialize<'de> for StatisticsLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Fields { components, step, policy, statistic, threshold, values } =
            Fields::deserialize(deserializer)?;
        if let Some(components) = components {
            return Ok(Self::Header(StatisticsHeader { components }));
        }
        let missing = D::Error::missing_field;
        Ok(Self::Check(StatisticsRecord {
            step: step.ok_or_else(|| missing("step"))?,
            policy: policy.ok_or_else(|| missing("policy"))?,
            statistic: statistic.ok_or_else(|| missing("statistic"))?,
            threshold: threshold.unwrap_or(Thresholds::One(None)),
            values: values.ok_or_else(|| missing("values"))?,
        }))
    }
}
