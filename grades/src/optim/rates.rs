//! The rates at which an optimizer averages gradients.

/// The running average of a parameter's gradients: m ← decay·m + gain·g.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentRates {
    /// The share of m that remains at a step.
    pub decay: f64,
    /// The share of the gradient that is added at a step.
    pub gain: f64,
    /// The share of the gradient that was added at the first step.
    pub first_gain: f64,
}
