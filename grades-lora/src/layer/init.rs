//! How A and B begin, as in PEFT.

use tch::{TchError, Tensor};

use super::shape::Shape;
use crate::config::Init;

/// Draws A `[rank, inputs]` and B `[outputs, rank]` from torch's generator.
pub(super) fn matrices(init: Init, rank: i64, shape: Shape) -> Result<(Tensor, Tensor), TchError> {
    let Shape { inputs, outputs, kind, device } = shape;
    let mut a = Tensor::f_empty([rank, inputs], (kind, device))?;
    let mut b = Tensor::f_zeros([outputs, rank], (kind, device))?;
    match init {
        Init::Gaussian => drop(a.f_normal_(0.0, 1.0 / rank as f64)?),
        Init::Default | Init::Random => uniform(&mut a, inputs)?,
    }
    if init == Init::Random {
        uniform(&mut b, rank)?;
    }
    Ok((a, b))
}

/// Draws a fresh linear layer's weight: He et al.'s uniform bound √(6 ÷ ((1 + a²)·inputs)) with a = √5.
fn uniform(tensor: &mut Tensor, inputs: i64) -> Result<(), TchError> {
    let bound = 1.0 / (inputs as f64).sqrt();
    tensor.f_uniform_(-bound, bound).map(drop)
}
