//! Comparing tensors, byte by byte or to rounding.

use std::collections::BTreeMap;

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

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
    let (actual, expected) = (values(actual), values(expected));
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    for (index, (a, b)) in actual.iter().zip(&expected).enumerate() {
        let allowed = 1e-5 * largest + 1e-8;
        assert!((a - b).abs() <= allowed, "{what}[{index}]: {a} is not {b} (largest {largest})");
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    Vec::try_from(flat).unwrap()
}
