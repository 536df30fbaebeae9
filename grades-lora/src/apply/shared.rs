//! Weights that are used in more than one place.

use std::ops::Range;

use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::layers::{LinearLayers, each};
use super::store;
use crate::error::{Error, Result};
use crate::layer::Linear;

/// Where a tensor's numbers lie.
struct Place {
    device: Device,
    bytes: Range<usize>,
}

impl Place {
    fn of(tensor: &Tensor) -> Result<Self> {
        let start = tensor.data_ptr() as usize;
        // A view with gaps ends later than it has numbers.
        let last: i64 =
            tensor.size().iter().zip(tensor.stride()).map(|(size, stride)| (size - 1).max(0) * stride).sum();
        let numbers = usize::try_from(last).unwrap_or(0) + 1;
        let length = if tensor.numel() == 0 { 0 } else { numbers * tensor.f_kind()?.elt_size_in_bytes() };
        Ok(Self { device: tensor.device(), bytes: start..start + length })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.device == other.device
            && self.bytes.start.max(other.bytes.start) < self.bytes.end.min(other.bytes.end)
    }
}

/// Refuses a model in which a layer whose weight is to be written to shares it: with another layer, or with a variable
/// that is not the layer's own by its name.
pub(super) fn refuse(
    model: &mut (impl LinearLayers + ?Sized),
    vs: &VarStore,
    is_written: impl Fn(&Linear) -> bool,
) -> Result<()> {
    let mut layers: Vec<(String, Place, bool)> = Vec::new();
    each(model, |name, layer| {
        layers.push((name.to_owned(), Place::of(layer.base_weight())?, is_written(layer)));
        Ok(())
    })?;
    let mut variables = Vec::new();
    for (name, variable) in store::variables(vs)? {
        variables.push((Place::of(&variable.tensor)?, name));
    }
    for (name, place, _) in layers.iter().filter(|(.., written)| *written) {
        let own = format!("{name}.weight");
        let is_own = |variable: &str| {
            variable.strip_suffix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let variable = variables.iter().find(|(other, variable)| other.overlaps(place) && !is_own(variable));
        let layer = layers.iter().find(|(other, their, _)| other != name && their.overlaps(place));
        let with = match (layer, variable) {
            (Some((layer, ..)), _) => format!("layer \"{layer}\""),
            (None, Some((_, variable))) => format!("variable \"{variable}\""),
            (None, None) => continue,
        };
        return Err(Error::layer(
            name,
            format!(
                "shares its weight with {with}, which merging for good would change as well; give it a copy first"
            ),
        ));
    }
    Ok(())
}
