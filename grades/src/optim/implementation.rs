//! The ways to compute one and the same update.

/// How [`Adam`](super::Adam) and [`Sgd`](super::Sgd) compute an update.
///
/// Whatever the choice, parameters that the kernels do not take (devices other than the CPU and CUDA, tensors with
/// gaps) are updated as by [`Reference`](Self::Reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Implementation {
    /// On the CPU this crate's kernels, which sum what the statistics need in the pass that applies the update; on
    /// CUDA libtorch's.
    #[default]
    Fused,
    /// libtorch's fused kernels, on the CPU too; statistics are taken in passes of their own.
    Libtorch,
    /// Plain tensor operations, parameter by parameter: what the kernels are tested against.
    Reference,
}
