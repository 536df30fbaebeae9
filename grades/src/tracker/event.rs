//! What happened to a component.

use serde::Serialize;

use crate::policy::Cause;
use crate::{Component, ComponentKind, Statistic};

/// A component froze.
///
/// As JSON it is one line of `freezes.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FreezeEvent {
    /// The optimizer step whose statistics decided, counted from 1; no update after it moves the component.
    pub step: u64,
    /// The component's name.
    pub component: String,
    /// Its role.
    pub kind: ComponentKind,
    /// Its transformer block.
    pub layer: Option<u32>,
    /// The statistic that decided.
    pub statistic: Statistic,
    /// The statistic's value.
    pub value: f64,
    /// What the value was compared with.
    pub threshold: f64,
    /// The policy that decided.
    pub policy: &'static str,
    /// How many numbers the component holds.
    pub parameters: u64,
    /// The component's position.
    #[serde(skip)]
    pub index: usize,
}

impl FreezeEvent {
    pub(super) fn new(step: u64, index: usize, component: &Component, cause: Cause) -> Self {
        Self {
            step,
            component: component.name.clone(),
            kind: component.kind,
            layer: component.layer,
            statistic: cause.statistic,
            value: cause.value,
            threshold: cause.threshold,
            policy: cause.policy,
            parameters: component.elements,
            index,
        }
    }
}
