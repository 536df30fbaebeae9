//! Copies of tensors in another dtype, made once for each value.

use std::cell::RefCell;
use std::fmt;

use tch::{Kind, TchError, Tensor};

/// A copy of a tensor in another dtype, which is made anew only when the tensor has changed.
///
/// It is for weights that are multiplied in a narrower dtype than they train in (autocast). All forward passes between two
/// optimizer steps use one copy: those of an accumulation, those that activation checkpointing repeats, evaluations. A weight
/// that is frozen is copied once. Gradients go through the copy to the tensor, and arrive in the tensor's dtype.
///
/// ```
/// use grades_lora::Cast;
/// use tch::{Device, Kind, Tensor};
///
/// let weight = Tensor::ones([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// let cast = Cast::default();
/// let narrow = cast.of(&weight, Kind::BFloat16)?;
/// assert_eq!(cast.of(&weight, Kind::BFloat16)?.data_ptr(), narrow.data_ptr());
/// narrow.sum(Kind::Float).backward();
/// assert_eq!(weight.grad().kind(), Kind::Float);
/// tch::no_grad(|| weight.shallow_clone().fill_(2.0));
/// assert_ne!(cast.of(&weight, Kind::BFloat16)?, narrow);
/// # Ok::<(), tch::TchError>(())
/// ```
#[derive(Default)]
pub struct Cast(RefCell<Option<Made>>);

/// A copy and what it was made of.
struct Made {
    /// The tensor, without its graph: its memory cannot become another tensor's while the copy is known by its address.
    source: Tensor,
    version: i64,
    trains: bool,
    copy: Tensor,
}

impl Made {
    fn is_of(&self, tensor: &Tensor, version: i64, kind: Kind) -> Result<bool, TchError> {
        Ok(self.source.data_ptr() == tensor.data_ptr()
            && self.version == version
            && self.copy.f_kind()? == kind)
    }
}

impl Cast {
    /// Returns the tensor in this dtype: itself where it has it, the known copy where it is unchanged, else a new one.
    ///
    /// A change is a write that torch counts, as all of its own in-place operations and this project's optimizers do.
    ///
    /// # Errors
    ///
    /// When libtorch refuses, such as without memory.
    pub fn of(&self, tensor: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        if tensor.f_kind()? == kind {
            return Ok(tensor.shallow_clone());
        }
        let (version, trains) = (tensor.f_internal_version()?, tensor.requires_grad());
        // Nobody has it during the call: a layer is of one thread.
        let Ok(mut made) = self.0.try_borrow_mut() else { return tensor.f_to_kind(kind) };
        let known = match &*made {
            Some(known) if known.is_of(tensor, version, kind)? => match (known.trains, trains) {
                (before, now) if before == now => return Ok(known.copy.shallow_clone()),
                // It froze: the numbers are the same, the graph goes.
                (true, false) => Some(known.copy.f_detach()?),
                _ => None,
            },
            _ => None,
        };
        let copy = match known {
            Some(copy) => copy,
            // A pass without gradients may come first, and one with gradients use the same copy.
            None if trains => tch::with_grad(|| tensor.f_to_kind(kind))?,
            None => tensor.f_to_kind(kind)?,
        };
        *made = Some(Made { source: tensor.f_detach()?, version, trains, copy: copy.shallow_clone() });
        Ok(copy)
    }
}

impl fmt::Debug for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.0.try_borrow().is_ok_and(|made| made.is_some());
        f.debug_tuple("Cast").field(&made).finish()
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn weight() -> Tensor {
        Tensor::arange(6, (Kind::Float, Device::Cpu)).f_set_requires_grad(true).unwrap()
    }

    #[test]
    fn a_copy_lives_until_the_tensor_changes() {
        let (weight, cast) = (weight(), Cast::default());
        let address = || cast.of(&weight, Kind::BFloat16).unwrap().data_ptr();
        // The first pass may be one without gradients.
        let first = tch::no_grad(address);
        assert_eq!(address(), first);
        assert!(cast.of(&weight, Kind::BFloat16).unwrap().requires_grad());
        let _ = tch::no_grad(|| weight.shallow_clone().f_add_scalar_(1.0).unwrap());
        let copy = cast.of(&weight, Kind::BFloat16).unwrap();
        assert_eq!(copy.to_kind(Kind::Float), weight.detach());
    }

    #[test]
    fn a_frozen_tensor_has_the_same_copy_without_a_graph() {
        let (weight, cast) = (weight(), Cast::default());
        let trained = cast.of(&weight, Kind::BFloat16).unwrap();
        let _ = weight.set_requires_grad(false);
        let frozen = cast.of(&weight, Kind::BFloat16).unwrap();
        assert!(!frozen.requires_grad());
        assert_eq!(frozen.data_ptr(), trained.data_ptr());
        let _ = weight.set_requires_grad(true);
        assert!(cast.of(&weight, Kind::BFloat16).unwrap().requires_grad(), "it thaws");
    }

    #[test]
    fn several_backward_passes_share_a_copy() {
        let (weight, cast) = (weight(), Cast::default());
        for _ in 0..3 {
            cast.of(&weight, Kind::BFloat16).unwrap().f_sum(Kind::Float).unwrap().backward();
        }
        assert_eq!(weight.grad(), Tensor::full([6], 3.0, (Kind::Float, Device::Cpu)));
    }

    #[test]
    fn another_tensor_at_a_known_address_is_no_old_friend() {
        let cast = Cast::default();
        for value in 0..50 {
            let tensor = Tensor::full([64], f64::from(value), (Kind::Float, Device::Cpu));
            let copy = cast.of(&tensor, Kind::BFloat16).unwrap();
            assert_eq!(copy.double_value(&[0]), f64::from(value));
        }
    }
}
