//! Arithmetic on half-precision tensors in f32.

use tch::{Kind, TchError, Tensor};

/// A tensor in f32 or wider: itself where it is that already, so that updates in place reach it, or a copy.
pub(super) struct Wide {
    pub(super) tensor: Tensor,
    copied: bool,
}

impl Wide {
    pub(super) fn of(tensor: &Tensor) -> Result<Self, TchError> {
        let copied = matches!(tensor.kind(), Kind::Half | Kind::BFloat16);
        let tensor = if copied { tensor.f_to_kind(Kind::Float)? } else { tensor.shallow_clone() };
        Ok(Wide { tensor, copied })
    }

    /// Writes the value, rounded to its kind, into the tensor it was taken from or a copy of which it was taken from.
    pub(super) fn store(&self, into: &Tensor) -> Result<(), TchError> {
        if self.copied || self.tensor.kind() != into.kind() {
            into.shallow_clone().f_copy_(&self.tensor)
        } else {
            Ok(())
        }
    }
}
