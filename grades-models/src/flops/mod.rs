//! Floating-point operations, counted from the shapes.
//!
//! A product of a matrix `[m, k]` with one `[k, n]` counts 2·m·k·n, a multiplication and an addition each; nothing but
//! products of matrices counts. That is what PyTorch's `torch.utils.flop_counter.FlopCounterMode` counts, and a test
//! compares the two. In a backward pass a product costs as much again for each of its two sides that needs a gradient:
//! so a frozen matrix saves a third of its own three products, and with nothing below that trains the other one too.
//!
//! Attention is counted as its two products of all positions with all, masked or not, whatever kernel computes them; one
//! that computes the scores again in its backward pass does more.

mod linear;
mod products;

pub use linear::linear;
pub use products::{BatchShape, Products, Rows};
