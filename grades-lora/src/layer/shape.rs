//! The properties of a layer that an adapter must match.

use std::fmt;

use tch::{Device, Kind};

use super::{Linear, wide};
use crate::error::{Error, Result};

/// The properties of a layer that an adapter must match: sizes, dtype and device.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    pub(crate) inputs: i64,
    pub(crate) outputs: i64,
    pub(crate) kind: Kind,
    pub(crate) device: Device,
}

impl Shape {
    /// Returns the shape of a layer, with the dtype of adapters on it.
    pub(crate) fn of(layer: &Linear) -> Result<Self> {
        let size = layer.weight.size();
        let [outputs, inputs] = size[..] else {
            return Err(Error::Torch(format!(
                "a linear layer's weight is [outputs, inputs], found {size:?}"
            )));
        };
        let kind = layer.weight.f_kind()?;
        if !matches!(kind, Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double) {
            return Err(Error::Torch(format!("a weight of kind {kind:?} takes no adapter")));
        }
        Ok(Self { inputs, outputs, kind: wide(kind), device: layer.weight.device() })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} inputs and {} outputs in {:?} on {:?}",
            self.inputs, self.outputs, self.kind, self.device
        )
    }
}
