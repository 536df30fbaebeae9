//! The two ways to compute one and the same update.

/// How [`Adam`](super::Adam) and [`Sgd`](super::Sgd) compute an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Implementation {
    /// libtorch's fused kernels, one call for many parameters; parameters that they do not take (devices other than
    /// the CPU and CUDA, tensors with gaps, SGD in half precision on the CPU) are updated as by [`Reference`](Self::Reference).
    #[default]
    Fused,
    /// Plain tensor operations, parameter by parameter: what the fused kernels are tested against.
    Reference,
}
