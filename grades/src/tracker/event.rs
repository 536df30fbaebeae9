//! Freeze events: a component cools, freezes or thaws.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use crate::component::{Component, ComponentKind};
use crate::policy::{Cause, Measure};
use crate::schema::words;

words! {
    /// The transition of a [`FreezeEvent`] from one state of a component to the next.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Transition: "event" {
        /// Its policy decided to freeze it; it cools from the next step on.
        Cool = "cool",
        /// It froze; no update after this step moves it.
        Freeze = "freeze",
        /// It trains again from the next step on.
        Thaw = "thaw",
    }
}

/// A component began to cool, froze, or was thawed.
///
/// As JSON it is one line of `freezes.jsonl`; numbers that are not finite are null there, and NaN when read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FreezeEvent {
    /// The transition.
    pub event: Transition,
    /// The optimizer step after which it took place, counted from 1.
    pub step: u64,
    /// The component's name.
    pub component: String,
    /// Its role.
    pub kind: ComponentKind,
    /// Its transformer block.
    pub layer: Option<u32>,
    /// The quantity that decided: mostly a statistic.
    pub statistic: Measure,
    /// Its value.
    #[serde(deserialize_with = "nan_if_null")]
    pub value: f64,
    /// The threshold that the value was compared with.
    #[serde(deserialize_with = "nan_if_null")]
    pub threshold: f64,
    /// The policy that decided.
    pub policy: Cow<'static, str>,
    /// The number of elements of the component.
    pub parameters: u64,
    /// The component's position among all; not part of the JSON.
    #[serde(skip)]
    pub index: usize,
}

impl FreezeEvent {
    /// Returns whether the component froze.
    pub fn is_freeze(&self) -> bool {
        self.event == Transition::Freeze
    }

    /// Logs the event through `tracing`.
    #[cfg(feature = "torch")]
    pub(crate) fn log(&self) {
        tracing::info!(
            target: "grades",
            event = ?self.event,
            step = self.step,
            component = %self.component,
            kind = %self.kind,
            statistic = %self.statistic,
            value = self.value,
            threshold = self.threshold,
            policy = %self.policy,
        );
    }

    pub(super) fn new(
        event: Transition,
        step: u64,
        index: usize,
        component: &Component,
        cause: Cause,
    ) -> Self {
        Self {
            event,
            step,
            component: component.name.clone(),
            kind: component.kind,
            layer: component.layer,
            statistic: cause.measure,
            value: cause.value,
            threshold: cause.threshold,
            policy: cause.policy,
            parameters: component.elements,
            index,
        }
    }
}

fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
