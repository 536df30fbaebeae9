//! Counts floating-point operations (FLOPs) from the shapes of matmuls.
//!
//! A matmul of `[m, k]` and `[k, n]` counts 2·m·k·n, a multiplication and an addition each; other operations count
//! nothing. PyTorch's `torch.utils.flop_counter.FlopCounterMode` counts the same, and a test compares the two. In the
//! backward pass a matmul costs as much again for each of its two factors that needs a gradient. So a frozen matrix
//! saves a third of its three matmuls, and a second third when nothing below it trains.
//!
//! Attention counts two matmuls over all pairs of positions, masked or not, whatever kernel computes them. A kernel that
//! recomputes the scores in its backward pass does more.

mod linear;
mod matmuls;

pub use linear::linear_matmuls;
pub use matmuls::{BatchShape, Matmuls, Per};
