//! Chooses in which dtype a run multiplies, and says what its precision costs.

use std::time::Instant;

use tch::nn::VarStore;
use tch::{Cuda, Device, Kind, TchError, Tensor};

use crate::config::{Dtype, ModelConfig, OptimizerConfig};

/// The least quotient of the times of f32 and bf16 for which `auto` takes bf16. Without instructions for bf16 it is below 1,
/// with them above 2.
const LEAST_GAIN: f64 = 1.5;
const ROUNDS: usize = 5;

/// Replaces `dtype = "auto"` by f32, with autocast where the device multiplies bf16 faster; returns a line that says so.
///
/// # Errors
///
/// When libtorch refuses.
pub(super) fn resolve_auto(model: &mut ModelConfig, device: Device) -> Result<Option<String>, TchError> {
    if model.dtype != Dtype::Auto {
        return Ok(None);
    }
    model.dtype = Dtype::F32;
    if model.autocast {
        return Ok(None);
    }
    let gain = bf16_gain(device)?;
    model.autocast = gain >= LEAST_GAIN;
    let choice = match model.autocast {
        true => "f32 weights, bf16 products (autocast)",
        false => "f32",
    };
    Ok(Some(format!(
        "model.dtype = \"auto\": {choice}; in bf16 {device:?} multiplies {gain:.1} times as fast as in f32"
    )))
}

/// Measures how many times as fast a product is in bf16 as in f32.
fn bf16_gain(device: Device) -> Result<f64, TchError> {
    let (rows, width) = if device.is_cuda() { (4096, 4096) } else { (256, 1024) };
    // No random numbers: those of the run stay the same.
    let operands = |kind| -> Result<(Tensor, Tensor), TchError> {
        let ones = |rows| Tensor::f_ones([rows, width], (kind, device));
        Ok((ones(rows)?, ones(width)?))
    };
    let seconds = |(x, weight): &(Tensor, Tensor)| -> Result<f64, TchError> {
        let start = Instant::now();
        let _ = x.f_linear(weight, None::<&Tensor>)?;
        if let Device::Cuda(index) = device {
            Cuda::synchronize(index as i64);
        }
        Ok(start.elapsed().as_secs_f64())
    };
    let (single, half) = (operands(Kind::Float)?, operands(Kind::BFloat16)?);
    let (mut slow, mut fast) = (f64::INFINITY, f64::INFINITY);
    let _no_grad = tch::no_grad_guard();
    // The first round loads what is needed.
    for _ in 0..=ROUNDS {
        slow = slow.min(seconds(&single)?);
        fast = fast.min(seconds(&half)?);
    }
    Ok(slow / fast.max(f64::MIN_POSITIVE))
}

/// Says what `optimizer.master_weights = false` means for this model.
pub(super) fn note_on_masters(config: &OptimizerConfig, store: &VarStore) -> Option<String> {
    if config.master_weights {
        return None;
    }
    let half = |tensor: &Tensor| tensor.requires_grad() && tensor.kind() == Kind::BFloat16;
    Some(match store.variables().values().any(half) {
        true => "optimizer.master_weights = false: bf16 weights are updated in place, so an update smaller than half the \
                 distance to the next bf16 number (a part in 512 to 256 of the weight) is lost, and the moments are in bf16, \
                 too"
            .to_owned(),
        false => "optimizer.master_weights = false has no effect: what trains is in f32".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_is_measured() {
        let gain = bf16_gain(Device::Cpu).unwrap();
        assert!(gain.is_finite() && gain > 0.0, "{gain}");
    }
}
