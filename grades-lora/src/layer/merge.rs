//! Merging adapters into the weight, and taking them out again.

use tch::Tensor;

use super::adapter::Adapter;
use super::{Linear, wide};
use crate::error::{Error, Result};

impl Linear {
    /// Adds an adapter to what the layer computes with, after which it costs nothing in a forward or backward pass.
    ///
    /// That becomes W + s·B·A, with DoRA g ∘ (W + s·B·A), computed in at least f32 and rounded to the weight's kind
    /// once. On a 16-bit base each element is then off by up to u times its own size, u being 2⁻⁸ for bf16 and 2⁻¹¹ for
    /// f16, and for f16 by 2⁻²⁵ more, below which it has no numbers; an output is off by up to
    /// Σ|x|·(u·|W + s·B·A| + 2⁻²⁵). The base's own weight stays as it is, in the `VarStore` and wherever else it is
    /// used, so that the layer needs twice the memory until [`unmerge`](Self::unmerge) or [`detach`](Self::detach).
    ///
    /// A merged adapter has no dropout, and a base with something merged takes no gradient; what is done to its weight
    /// meanwhile shows after unmerging.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] when there is none of this name, it is not active or merged already, the base trains, or the
    /// sum is not finite; the layer is then unchanged. [`Error::Torch`] when libtorch refuses.
    pub fn merge(&mut self, name: &str) -> Result<()> {
        if self.weight.requires_grad() {
            let message = "its layer's own weight trains, and would not while the adapter is merged; turn that weight's \
                           gradients off first";
            return Err(Error::adapter(name, message));
        }
        self.merge_in(name)
    }

    /// Merges as [`merge`](Self::merge) does, whether the base trains or not.
    pub(crate) fn merge_in(&mut self, name: &str) -> Result<()> {
        let index = self.position(name)?;
        match self.adapters.get(index) {
            Some(adapter) if adapter.merged => {
                return Err(Error::adapter(name, "is merged already; unmerge it first"));
            }
            Some(adapter) if !adapter.active => {
                return Err(Error::adapter(
                    name,
                    "is not in use, so merging would change outputs; activate it first",
                ));
            }
            _ => {}
        }
        let mut together: Vec<usize> = self.merged_positions().collect();
        together.push(index);
        self.merged = Some(self.sum_of(name, &together)?);
        if let Some(adapter) = self.adapters.get_mut(index) {
            adapter.merged = true;
        }
        Ok(())
    }

    /// Takes an adapter out of what the layer computes with; with the last one that is its own weight again.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] when there is none of this name, or it is not merged; [`Error::Torch`] when libtorch refuses.
    pub fn unmerge(&mut self, name: &str) -> Result<()> {
        let index = self.position(name)?;
        if !self.adapters.get(index).is_some_and(Adapter::is_merged) {
            return Err(Error::adapter(name, "is not merged"));
        }
        let rest: Vec<usize> = self.merged_positions().filter(|other| *other != index).collect();
        self.merged = if rest.is_empty() { None } else { Some(self.sum_of(name, &rest)?) };
        if let Some(adapter) = self.adapters.get_mut(index) {
            adapter.merged = false;
        }
        Ok(())
    }

    /// Writes the merged adapters into the base's weight for good and removes every adapter.
    pub(crate) fn bake(&mut self) -> Result<()> {
        if let Some(merged) = &self.merged {
            let _no_grad = tch::no_grad_guard();
            // Without gradients a weight that trains may be written to in place.
            self.weight.f_copy_(merged)?;
        }
        self.merged = None;
        self.adapters.clear();
        Ok(())
    }

    fn merged_positions(&self) -> impl Iterator<Item = usize> {
        self.adapters.iter().enumerate().filter(|(_, adapter)| adapter.merged).map(|(index, _)| index)
    }

    /// Adds these adapters to the base's own weight, in the weight's dtype; errors name the adapter `name`.
    fn sum_of(&self, name: &str, positions: &[usize]) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let kind = self.weight.f_kind()?;
        let own = self.weight.f_to_kind(wide(kind))?;
        let mut sum = own.shallow_clone();
        for adapter in positions.iter().filter_map(|index| self.adapters.get(*index)) {
            let delta = adapter.b.f_mul_scalar(adapter.scaling)?.f_matmul(&adapter.a)?;
            sum = if adapter.magnitude.is_some() {
                let gain = self.gain(adapter)?.f_unsqueeze(1)?;
                let turned = own.f_add(&delta)?.f_mul(&gain)?;
                sum.f_add(&turned.f_sub(&own)?)?
            } else {
                sum.f_add(&delta)?
            };
        }
        let sum = sum.f_to_kind(kind)?;
        if i64::try_from(sum.f_isfinite()?.f_all()?)? == 0 {
            return Err(Error::adapter(name, "merging it would make weights that are not finite"));
        }
        Ok(sum)
    }
}
