//! The optimizers, the parameter registry and the libtorch kernels against PyTorch, each other and plain sums.
#![cfg(feature = "torch")]
// A test says what went wrong through its panic, its helpers too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod factors;
mod golden;
mod gradients;
mod inner;
mod measured;
mod parameters;
mod progress;
mod properties;
mod release;
#[path = "../../../tests/src/tolerance.rs"]
mod tolerance;
