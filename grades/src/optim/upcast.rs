//! Arithmetic on half-precision tensors in f32.

use tch::{Kind, TchError, Tensor};

/// A tensor in f32 or wider: the tensor itself where it is that already, so that updates in place reach it, else a copy.
pub(super) struct Upcast {
    pub(super) tensor: Tensor,
    copied: bool,
}

impl Upcast {
    pub(super) fn of(tensor: &Tensor) -> Result<Self, TchError> {
        let copied = matches!(tensor.kind(), Kind::Half | Kind::BFloat16);
        let tensor = if copied { tensor.f_to_kind(Kind::Float)? } else { tensor.shallow_clone() };
        Ok(Upcast { tensor, copied })
    }

    /// Writes the value into `into`, rounded to its dtype, unless the value is that very tensor.
    pub(super) fn store(&self, into: &Tensor) -> Result<(), TchError> {
        if self.copied || self.tensor.kind() != into.kind() {
            into.shallow_clone().f_copy_(&self.tensor)
        } else {
            Ok(())
        }
    }
}
