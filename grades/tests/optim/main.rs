//! The optimizers, the parameter registry and the libtorch kernels against PyTorch, each other and plain sums.
#![cfg(feature = "torch")]

mod common;
mod golden;
mod gradients;
mod inner;
mod parameters;
mod properties;
mod release;
