//! Setters that the configurations of [`Adam`](super::Adam) and [`Sgd`](super::Sgd) share.

/// Adds the shared setters to a configuration.
macro_rules! setters {
    ($config:ident) => {
        impl $config {
            /// Sets the state of bf16 and f16 parameters; that of PyTorch by default.
            pub fn half_precision(mut self, half_precision: HalfPrecision) -> Self {
                self.half_precision = half_precision;
                self
            }

            /// Sets how updates are computed; fused by default.
            pub fn implementation(mut self, implementation: Implementation) -> Self {
                self.implementation = implementation;
                self
            }
        }
    };
}
pub(super) use setters;
