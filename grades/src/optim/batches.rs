//! Parameters that one call of a kernel updates: of one device, kind, group and learning rate.

use tch::{Device, Kind, Tensor};

use super::Implementation;
use crate::Result;
use crate::parameters::{ParamId, Parameter};
use crate::torch::update::{Kernel, Operation};

/// The members of one call, in the order of their names.
pub(super) struct Batch {
    pub(super) group: usize,
    pub(super) kernel: Kernel,
    /// The factor on the group's learning rate.
    pub(super) factor: f64,
    pub(super) members: Vec<ParamId>,
    /// The tensors of the members.
    pub(super) parameters: Vec<Tensor>,
    device: Device,
    kind: Kind,
}

/// Sorts parameters into batches; the batches are in the order of their first members.
pub(super) fn batches<'a>(
    parameters: impl Iterator<Item = (ParamId, &'a Parameter, f64)>,
    implementation: Implementation,
    operation: Operation,
) -> Result<Vec<Batch>> {
    let mut list: Vec<Batch> = Vec::new();
    for (id, parameter, factor) in parameters {
        let tensor = parameter.tensor();
        let (device, kind, group) = (parameter.device(), parameter.kind(), parameter.group());
        let kernel = operation.kernel(tensor, implementation)?;
        let fits = |batch: &Batch| {
            (batch.device, batch.kind, batch.group, batch.kernel, batch.factor)
                == (device, kind, group, kernel, factor)
        };
        let index = list.iter().position(fits).unwrap_or(list.len());
        if index == list.len() {
            list.push(Batch {
                group,
                kernel,
                factor,
                members: Vec::new(),
                parameters: Vec::new(),
                device,
                kind,
            });
        }
        list[index].members.push(id);
        list[index].parameters.push(tensor.shallow_clone());
    }
    Ok(list)
}
