//! Parameters as components see them: a name and a shape.

use super::ComponentKind;

/// The name and the shape of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterInfo {
    /// The name, parts separated by dots.
    pub name: String,
    /// The size of each dimension.
    pub shape: Vec<i64>,
}

impl ParameterInfo {
    /// Creates a parameter of this name and shape.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<i64>>) -> Self {
        Self { name: name.into(), shape: shape.into() }
    }

    /// Returns the number of its elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|size| size.unsigned_abs()).product()
    }
}

/// A parameter that belongs to no component, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The parameter's name.
    pub name: String,
    /// Its kind.
    pub kind: ComponentKind,
    /// The transformer block, where one is known.
    pub layer: Option<u32>,
    /// Why it is not tracked.
    pub reason: String,
}
