//! Parameters and gradients in closed form.

use grades::optim::{GradScale, StatsRequest, StepRequest};
use grades::parameters::{ParamId, Parameters};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// The machine's devices.
pub(crate) fn devices() -> Vec<Device> {
    let cuda = tch::Cuda::is_available().then_some(Device::Cuda(0));
    std::iter::once(Device::Cpu).chain(cuda).collect()
}

/// A tensor whose elements are a function of their index.
pub(crate) fn values(shape: &[i64], kind: Kind, device: Device, formula: impl Fn(i64) -> f64) -> Tensor {
    let flat: Vec<f64> = (0..shape.iter().product()).map(formula).collect();
    Tensor::from_slice(&flat).reshape(shape).to_device(device).to_kind(kind)
}

/// Adds a variable with these values to the store, in a group.
pub(crate) fn add(vs: &VarStore, name: &str, group: usize, value: &Tensor) -> Tensor {
    let path = vs.root().set_group(group);
    let name_parts: Vec<&str> = name.split('.').collect();
    let (last, parents) = name_parts.split_last().unwrap();
    let path = parents.iter().fold(path, |path, part| path.sub(part));
    path.add(last, value.copy(), true)
}

/// Gives a parameter this gradient, through a loss that has it.
pub(crate) fn give(parameter: &Tensor, gradient: &Tensor) {
    grades::torch::gradients::undefine(&[parameter]).unwrap();
    (parameter * gradient).sum(parameter.kind()).backward();
}

/// All elements in f64.
pub(crate) fn elements(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double).reshape([-1]);
    Vec::try_from(flat).unwrap()
}

/// The largest |a − b| ÷ (1 + |b|).
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

/// A request for statistics of these parameters.
pub(crate) fn request<'a>(
    parameters: &'a Parameters,
    ids: &'a [ParamId],
    stats: StatsRequest,
) -> StepRequest<'a> {
    StepRequest { parameters, active: ids, measured: ids, stats, scale: GradScale::Factor(1.0) }
}
