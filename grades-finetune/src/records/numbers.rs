//! The numbers that a comparison has of each run.

use std::collections::BTreeMap;
use std::fmt;

use grades::schema::words;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::summary::Summary;

macro_rules! quantities {
    ($($(#[$doc:meta])* $variant:ident => $name:literal: $of:expr,)*) => {
        words! {
            /// A quantity of a run.
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum Quantity: "quantity" {
                $($(#[$doc])* $variant = $name,)*
            }
        }

        impl Quantity {
            /// Returns its value in a run's summary; `None` when it was not measured, or is not part of a summary.
            pub fn of(self, summary: &Summary) -> Option<f64> {
                let of: fn(&Summary) -> Option<f64> = match self {
                    $(Self::$variant => $of,)*
                };
                of(summary)
            }
        }
    };
}

quantities! {
    /// Optimizer steps.
    Steps => "steps": |run| Some(run.steps.steps as f64),
    /// Optimizer steps that were planned.
    PlannedSteps => "planned_steps": |run| Some(run.steps.planned_steps as f64),
    /// Training examples.
    Examples => "examples": |run| Some(run.data.examples as f64),
    /// Seconds in training steps.
    TrainSeconds => "train_seconds": |run| Some(run.time.train_seconds),
    /// Processor seconds in training steps.
    TrainCpuSeconds => "train_cpu_seconds": |run| run.time.train_cpu_seconds,
    /// Seconds in evaluations during training.
    ValidationSeconds => "validation_seconds": |run| Some(run.time.validation_seconds),
    /// Seconds in evaluations.
    EvalSeconds => "eval_seconds": |run| Some(run.time.eval_seconds),
    /// Seconds from start to end.
    WallSeconds => "wall_seconds": |run| Some(run.time.wall_seconds),
    /// FLOPs of training steps.
    Flops => "flops": |run| (run.flops.flops > 0).then_some(run.flops.flops as f64),
    /// FLOPs of evaluations during training.
    ValidationFlops => "validation_flops": |run| Some(run.flops.validation_flops as f64),
    /// The seconds that a user pays for such a run.
    CostSeconds => "cost_seconds": |run| run.time.cost_seconds,
    /// The FLOPs that a user pays for such a run.
    CostFlops => "cost_flops": |run| run.flops.cost_flops.map(|flops| flops as f64),
    /// The largest resident size.
    PeakMemoryBytes => "peak_memory_bytes": |run| run.memory.peak_memory_bytes.map(|bytes| bytes as f64),
    /// Components frozen at the end.
    ComponentsFrozen => "components_frozen": |run| Some(run.freezing.components_frozen as f64),
    /// All components.
    ComponentsTotal => "components_total": |run| Some(run.freezing.components_total as f64),
    /// The step of the best evaluation.
    BestStep => "best_step": |run| run.best.best_step.map(|step| step as f64),
    /// The accuracy on the examples for evaluation.
    EvalAccuracy => "eval_accuracy": |run| run.eval.accuracy,
    /// The loss on them.
    EvalLoss => "eval_loss": |run| run.eval.loss,
    /// A decoder's perplexity on them.
    EvalPerplexity => "eval_perplexity": |run| run.eval.perplexity,
    /// The share of its answers there that are exactly right.
    EvalExactMatch => "eval_exact_match": |run| run.eval.exact_match,
    /// The accuracy on the test examples.
    TestAccuracy => "test_accuracy": |run| run.test.accuracy,
    /// The loss on them.
    TestLoss => "test_loss": |run| run.test.loss,
    /// A decoder's perplexity on them.
    TestPerplexity => "test_perplexity": |run| run.test.perplexity,
    /// The share of its answers there that are exactly right.
    TestExactMatch => "test_exact_match": |run| run.test.exact_match,
    /// FLOPs that freezing removed.
    FlopsSaved => "flops_saved": Summary::flops_saved,
    /// Seconds of a training step.
    SecondsPerStep => "seconds_per_step": Summary::seconds_per_step,
    /// Seconds until the baseline's result was reached.
    SecondsToTarget => "seconds_to_target": |_| None,
    /// Steps until then.
    StepsToTarget => "steps_to_target": |_| None,
    /// FLOPs until then.
    FlopsToTarget => "flops_to_target": |_| None,
}

/// Returns the unit in which a number of FLOPs has few digits, and the unit's size.
pub fn flop_unit(flops: f64) -> (&'static str, f64) {
    match flops {
        flops if flops >= 1e18 => ("EFLOP", 1e18),
        flops if flops >= 1e15 => ("PFLOP", 1e15),
        flops if flops >= 1e12 => ("TFLOP", 1e12),
        flops if flops >= 1e9 => ("GFLOP", 1e9),
        _ => ("MFLOP", 1e6),
    }
}

impl Quantity {
    /// Those that depend on what the baseline reached.
    pub const TO_TARGET: [Quantity; 3] = [Self::SecondsToTarget, Self::StepsToTarget, Self::FlopsToTarget];
}

/// Numbers by quantity; a quantity that was not measured is `None`, and null in JSON.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Numbers {
    values: BTreeMap<Quantity, Option<f64>>,
}

impl Numbers {
    /// Returns the numbers of a run that has ended.
    pub fn of(summary: &Summary) -> Self {
        let mut numbers = Self::default();
        let ends = Quantity::ALL.into_iter().filter(|quantity| !Quantity::TO_TARGET.contains(quantity));
        for quantity in ends {
            numbers.set(quantity, quantity.of(summary));
        }
        numbers
    }

    /// Sets a number; one that is not finite counts as not measured.
    pub fn set(&mut self, quantity: Quantity, value: Option<f64>) {
        self.values.insert(quantity, value.filter(|value| value.is_finite()));
    }

    /// Returns a number; `None` when it was not measured.
    pub fn get(&self, quantity: Quantity) -> Option<f64> {
        self.values.get(&quantity).copied().flatten()
    }

    /// Returns the quantities that were set, in order.
    pub fn quantities(&self) -> impl Iterator<Item = Quantity> + '_ {
        self.values.keys().copied()
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Up to here every whole number is an f64.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (quantity, value) in &self.values {
            match value {
                Some(value) if value.fract() == 0.0 && value.abs() < EXACT => {
                    map.serialize_entry(quantity.name(), &(*value as i64))?;
                }
                value => map.serialize_entry(quantity.name(), value)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NumbersVisitor)
    }
}

struct NumbersVisitor;

impl<'de> Visitor<'de> for NumbersVisitor {
    type Value = Numbers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers by name")
    }

    /// Keys that are no quantities are left alone: a newer version may have more.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Numbers, A::Error> {
        let mut numbers = Numbers::default();
        while let Some(key) = map.next_key::<String>()? {
            match Quantity::ALL.iter().find(|quantity| quantity.name() == key) {
                Some(quantity) => numbers.set(*quantity, map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(numbers)
    }
}
