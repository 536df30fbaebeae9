//! Buckets: the parameters that one call of a kernel updates.

use tch::{Device, Kind, Tensor};

use super::KernelFamily;
use super::recipe::Recipe;
use super::state::State;
use crate::error::Result;
use crate::optim::implementation::Kernel;
use crate::parameters::{ParamId, Parameter};

/// Parameters of one device, dtype, group and learning rate, in the order of their names.
pub(super) struct Bucket {
    pub(super) group: usize,
    pub(super) kernel: Kernel,
    /// The factor on the group's learning rate.
    pub(super) factor: f64,
    pub(super) members: Vec<ParamId>,
    /// The tensors of the members.
    pub(super) parameters: Vec<Tensor>,
    /// The master copies of the members; empty where the parameters are the weights.
    pub(super) masters: Vec<Tensor>,
    /// The state of the members, by field; a field that the group does not need is empty.
    pub(super) fields: Vec<Vec<Tensor>>,
    device: Device,
    dtype: Kind,
}

/// A parameter to be sorted into a bucket.
pub(super) struct Member<'a> {
    pub(super) id: ParamId,
    pub(super) parameter: &'a Parameter,
    pub(super) factor: f64,
    pub(super) state: Option<&'a State>,
}

/// Sorts parameters into buckets, which are in the order of their first members.
pub(super) fn sort<'a, K: KernelFamily>(
    recipe: &Recipe<K>,
    members: impl Iterator<Item = Member<'a>>,
) -> Result<Vec<Bucket>> {
    let family = &recipe.family;
    let mut list: Vec<Bucket> = Vec::new();
    for Member { id, parameter, factor, state } in members {
        let tensor = parameter.tensor();
        let (device, dtype, group) = (parameter.device(), parameter.kind(), parameter.group());
        let kernel = family.implementation().kernel(family.operation(), tensor)?;
        let fits = |bucket: &Bucket| {
            (bucket.device, bucket.dtype, bucket.group, bucket.kernel, bucket.factor)
                == (device, dtype, group, kernel, factor)
        };
        let index = list.iter().position(fits).unwrap_or(list.len());
        if index == list.len() {
            list.push(Bucket {
                group,
                kernel,
                factor,
                members: Vec::new(),
                parameters: Vec::new(),
                masters: Vec::new(),
                fields: K::FIELDS.iter().map(|_| Vec::new()).collect(),
                device,
                dtype,
            });
        }
        let bucket = &mut list[index];
        bucket.members.push(id);
        bucket.parameters.push(tensor.shallow_clone());
        let Some(state) = state else { continue };
        bucket.masters.extend(state.master.iter().map(Tensor::shallow_clone));
        for (field, (tensors, tensor)) in bucket.fields.iter_mut().zip(&state.fields).enumerate() {
            if family.needs_field(field, recipe.group_of(parameter)) {
                tensors.extend(tensor.iter().map(Tensor::shallow_clone));
            }
        }
    }
    Ok(list)
}
