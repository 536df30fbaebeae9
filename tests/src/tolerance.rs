//! Tolerances of comparisons of floating-point numbers, all in one place.
//!
//! Another program, another processor or another number of threads adds the same numbers in another order, so results
//! differ by roundings. An error is measured against the scale of what is compared, the largest expected element: a sum
//! that cancels to almost nothing has the rounding errors of its terms all the same. The bound of a computation follows
//! from its size: a sum of n terms is off by about √n roundings (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019), so
//! `sums` of them one after another by √(`sums` · `terms`), and 4 times that is beyond chance.
//!
//! Contracts that promise the same bits are compared bit by bit and need nothing of this.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "several test programs include this file, each uses a part of it"
)]

use std::fmt::Display;

use tch::{Device, Kind, Tensor};

/// The size of a computation, from which the error that roundings may cause follows.
#[derive(Debug, Clone, Copy)]
pub struct Computation {
    /// The sums on the longest way from the inputs to the result.
    pub sums: u32,
    /// The terms of a sum.
    pub terms: u32,
}

/// One linear layer of 5 inputs with an adapter of rank 2: base, A, B, merging, and DoRA's norms.
pub const ADAPTED_LAYER: Computation = Computation { sums: 5, terms: 5 };
/// The networks of two or three layers in the tests of adapters, at most 16 wide.
pub const ADAPTED_NETWORK: Computation = Computation { sums: 12, terms: 16 };
/// `TinyBert` and the tiny BERT of the model directories: 2 blocks of 6 matrices, 2 products of attention and 2 norms,
/// embeddings, pooler and head; 8 to 32 wide.
pub const TINY_BERT: Computation = Computation { sums: 24, terms: 32 };
/// The gradients of such a model: forward, then twice that backward, and a sum over all tokens.
pub const TINY_BERT_GRADIENTS: Computation = Computation { sums: 72, terms: 32 };
/// all-MiniLM-L6-v2 with a head: 6 such blocks, 384 wide.
pub const MINILM: Computation = Computation { sums: 64, terms: 384 };
/// The tiny decoders: 3 blocks of 5 to 7 matrices, 2 products of attention and 2 to 4 norms, last norm and head; 32 to 48
/// wide.
pub const TINY_DECODER: Computation = Computation { sums: 36, terms: 48 };
/// The gradients of a tiny decoder: forward, then twice that backward, and a sum over all tokens.
pub const TINY_DECODER_GRADIENTS: Computation = Computation { sums: 108, terms: 72 };
/// A loss of a training run of a tiny model: the forward pass, and the sums over classes, tokens, examples and micro-batches.
/// Roundings of earlier updates add less: to first order they change the loss by the learning rate times those of the gradient.
pub const TRAINED_LOSS: Computation = Computation { sums: 40, terms: 48 };
/// Ten updates of an optimizer, each of some operations on single elements.
pub const OPTIMIZER_STEPS: Computation = Computation { sums: 20, terms: 1 };
/// The sums over one gradient of up to 50,000 elements, one accumulator of many.
pub const GRADIENT_SUM: Computation = Computation { sums: 1, terms: 50_000 };
/// A statistic of one gradient of up to 100 elements, summed in f32 by the one side.
pub const STATISTIC: Computation = Computation { sums: 4, terms: 100 };

/// A few operations in f64, done by the code and by a test's own formula.
pub const FORMULA: f64 = 1e-12;
/// A statistic that is computed from the moving averages of many steps in f32.
pub const STATISTIC_OF_STEPS: f64 = 2e-5;
/// A signal fraction, whose power of the noise is the difference of two sums that nearly cancel.
pub const SIGNAL_FRACTION: f64 = 1e-4;
/// The size of an update as the difference of weights before and after it, of which it is a small part: weights of 0.25 that
/// move by 0.01 have 18 of 24 bits left.
pub const UPDATE_FROM_WEIGHTS: f64 = 2e-4;

/// The updates of some steps of Adam, as a share of the way that they move: Adam divides gradients by their own size, so
/// the rounding of a small gradient counts as much as that of a large one.
pub const ADAM_UPDATES: f64 = 2.5e-4;
/// W ranks against one process that accumulates as much, as contract 14 promises it.
pub const RANKS: f64 = 1e-5;
/// Sums over the products of an update, from gradients and moments that three steps in f32 made.
pub const UPDATE_SUMS: f64 = 1e-5;
/// The updates of one step as the difference of weights of size 1 that the step moved by a twentieth: 20 of 24 bits are left.
pub const ONE_UPDATE_FROM_WEIGHTS: f64 = 1e-4;
/// A second moment after 400 updates in f32, each of which rounds it once.
pub const LONG_MOMENT: f64 = 1e-3;
/// A loss or logits of a tiny model that must be of the same tokens: those of other tokens are further away.
pub const SAME_TOKENS: f64 = 1e-4;
/// A weight of size 0.5 in any dtype after two updates of 0.25: in bf16 it is right to 8 bits.
pub const HALF_WEIGHT: f64 = 5e-3;
/// Statistics of an update that are computed from moments in half precision, which are rounded before they are read.
pub const HALF_MOMENTS: f64 = 0.02;
/// The losses of a run whose cached activations are in bf16, as a share of 1: eight bits of what each block passes on.
pub const BF16_LOSSES: f64 = 0.05;
/// The logits of a network whose matmuls are in bf16, as a share of their spread.
pub const BF16_LOGITS: f64 = 0.2;

impl Computation {
    /// Returns the largest relative error that roundings of a dtype explain.
    pub fn tolerance(self, dtype: Kind) -> f64 {
        4.0 * f64::from(self.sums * self.terms).sqrt() * epsilon(dtype) / 2.0
    }
}

/// Returns how far two implementations of one optimizer may lie apart after some updates, relative to parameters of size 1.
///
/// Adam divides by a root, so where the gradient is close to zero an update, which is at most about the learning rate,
/// can differ by much more than a rounding of it: no bound follows from the number of operations.
pub fn optimizer_paths(dtype: Kind) -> f64 {
    match dtype {
        Kind::Double => 1e-11,
        Kind::Float => 1e-4,
        _ => 1.0 / 64.0,
    }
}

/// Returns the relative error of the weighted mean of a weight over some steps, plus a tenth for terms that cancel: a rounding
/// in half precision, whose mean is summed in f32, else those of the sum.
pub fn weight_mean(dtype: Kind) -> f64 {
    match dtype {
        Kind::BFloat16 => 1.0 / 200.0,
        Kind::Half => 1.0 / 1500.0,
        Kind::Double => 1e-13,
        _ => 1e-6,
    }
}

/// Returns the relative error of an adapted layer whose norms may have cancelled to a hundredth of their terms.
pub fn cancelling_layer(dtype: Kind) -> f64 {
    match dtype {
        Kind::Double => 1e-11,
        Kind::Float => 1e-4,
        Kind::Half => 2e-2,
        _ => 1e-1,
    }
}

/// Returns the distance from 1 to the next number of a dtype; a rounding is off by half of that at most.
pub fn epsilon(dtype: Kind) -> f64 {
    match dtype {
        Kind::Double => f64::EPSILON,
        Kind::Half => 2f64.powi(-10),
        Kind::BFloat16 => 2f64.powi(-7),
        _ => f64::from(f32::EPSILON),
    }
}

/// Returns the largest difference of two tensors, divided by the largest element of the expected one.
pub fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    relative_error_from(found, expected, 0.0)
}

/// As [`relative_error`], where the terms that the elements are sums of are of size `scale` at least: a gradient that is 0
/// in exact arithmetic, as that of a key's bias, is rounding alone.
pub fn relative_error_from(found: &Tensor, expected: &Tensor, scale: f64) -> f64 {
    assert_eq!(found.size(), expected.size());
    let wide = |tensor: &Tensor| tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double);
    let (found, expected) = (wide(found), wide(expected));
    let largest = |tensor: Tensor| f64::try_from(tensor.abs().max()).unwrap_or(f64::NAN);
    let difference = largest(&found - &expected);
    if difference == 0.0 { 0.0 } else { difference / largest(expected).max(scale) }
}

/// Fails unless two tensors are equal but for an error of `tolerance` times the largest expected element.
pub fn assert_within(found: &Tensor, expected: &Tensor, tolerance: f64, what: impl Display) {
    assert_within_from(found, expected, 0.0, tolerance, what);
}

/// As [`assert_within`], for elements that are sums of terms of size `scale` at least.
pub fn assert_within_from(found: &Tensor, expected: &Tensor, scale: f64, tolerance: f64, what: impl Display) {
    let error = relative_error_from(found, expected, scale);
    assert!(
        error <= tolerance,
        "{what}: off by {error:e} of the largest element, {tolerance:e} is allowed\n{found}\n{expected}"
    );
}

/// Fails unless two numbers are equal but for an error of `tolerance` times the expected one.
pub fn assert_number_within(found: f64, expected: f64, tolerance: f64, what: impl Display) {
    let error = (found - expected).abs();
    assert!(
        error <= tolerance * expected.abs(),
        "{what}: {found} is not {expected}: off by {error:e}, {tolerance:e} times the expected value is allowed"
    );
}
