//! What happened to a component.

use serde::Serialize;

use crate::component::{Component, ComponentKind};
use crate::policy::{Cause, Measure};

/// What happened to a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Transition {
    /// It was decided that it has converged; it cools from the next step on.
    Cool,
    /// It froze; no update after this step moves it.
    Freeze,
    /// It trains again from the next step on.
    Thaw,
}

/// A component began to cool, froze, or was thawed.
///
/// As JSON it is one line of `freezes.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FreezeEvent {
    /// What happened.
    pub event: Transition,
    /// The optimizer step after which it happened, counted from 1.
    pub step: u64,
    /// The component's name.
    pub component: String,
    /// Its role.
    pub kind: ComponentKind,
    /// Its transformer block.
    pub layer: Option<u32>,
    /// What decided: mostly a statistic.
    pub statistic: Measure,
    /// Its value.
    pub value: f64,
    /// What the value was compared with.
    pub threshold: f64,
    /// The policy that decided.
    pub policy: &'static str,
    /// How many elements the component holds.
    pub parameters: u64,
    /// The component's position among all.
    #[serde(skip)]
    pub index: usize,
}

impl FreezeEvent {
    /// Whether the component froze.
    pub fn is_freeze(&self) -> bool {
        self.event == Transition::Freeze
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
