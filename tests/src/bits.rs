//! Comparing tensors, byte by byte or to rounding.

use std::collections::BTreeMap;

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::tolerance::{TINY_BERT, assert_within_from};

/// The bits of all parameters of a `VarStore`, by name.
pub type Snapshot = BTreeMap<String, Vec<u32>>;

/// The bits of a tensor's elements, of f32 or narrower, in order.
pub fn bits(tensor: &Tensor) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

/// The bits of all parameters.
pub fn snapshot(vs: &VarStore) -> Snapshot {
    vs.variables().iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

/// Fails unless two tensors are equal to within some roundings of the largest of their elements.
pub fn assert_close(actual: &Tensor, expected: &Tensor, what: &str) {
    // The gradients of this model are sums of terms of about this size.
    const TERMS: f64 = 1e-3;
    assert_within_from(actual, expected, TERMS, TINY_BERT.tolerance(Kind::Float), what);
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    Vec::try_from(flat).unwrap()
}
