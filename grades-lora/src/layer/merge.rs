//! Merging adapters into the weight, and taking them out again.

use tch::Tensor;

use super::adapter::Adapter;
use super::{Linear, wide};
use crate::{Error, Result};

impl Linear {
    /// Adds an adapter to the layer's weight, after which it costs nothing in a forward or backward pass.
    ///
    /// The weight becomes W + s·B·A, with DoRA g ∘ (W + s·B·A), computed in at least f32 and rounded to its kind once:
    /// on a 16-bit base each element is then off by up to u times its own size, u being 2⁻⁸ for bf16 and 2⁻¹¹ for f16,
    /// and an output by up to u·Σ|x|·|W + s·B·A|. The weight from before is kept until [`unmerge`](Self::unmerge)
    /// or [`detach`](Self::detach), so those give its very bits back; until then the layer takes twice the memory. A
    /// merged adapter has no dropout.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] when there is none of this name, it is merged already, or the sum is not finite; the layer is
    /// then unchanged. [`Error::Torch`] when libtorch refuses.
    pub fn merge(&mut self, name: &str) -> Result<()> {
        let index = self.position(name)?;
        if self.adapters.get(index).is_some_and(Adapter::is_merged) {
            return Err(Error::adapter(name, "is merged already; unmerge it first"));
        }
        let mut together: Vec<usize> = self.merged_positions().collect();
        together.push(index);
        let merged = self.sum_of(name, &together)?;
        let kept = match self.original.take() {
            Some(original) => original,
            None => self.weight.f_detach_copy()?,
        };
        self.original = Some(kept);
        self.set_weight(&merged)?;
        if let Some(adapter) = self.adapters.get_mut(index) {
            adapter.merged = true;
            adapter.active = true;
        }
        Ok(())
    }

    /// Takes an adapter out of the layer's weight; with the last one the weight is bit for bit what it was.
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
        let weight = if rest.is_empty() { None } else { Some(self.sum_of(name, &rest)?) };
        match (weight, &self.original) {
            (Some(weight), _) => self.set_weight(&weight)?,
            (None, Some(original)) => {
                let original = original.shallow_clone();
                self.set_weight(&original)?;
                self.original = None;
            }
            (None, None) => {}
        }
        if let Some(adapter) = self.adapters.get_mut(index) {
            adapter.merged = false;
        }
        Ok(())
    }

    /// Leaves all merged adapters in the weight for good and takes every adapter out.
    pub(crate) fn bake(&mut self) {
        self.original = None;
        self.adapters.clear();
    }

    fn merged_positions(&self) -> impl Iterator<Item = usize> {
        self.adapters.iter().enumerate().filter(|(_, adapter)| adapter.merged).map(|(index, _)| index)
    }

    /// The base's own weight with these adapters added, in the weight's kind; `name` is the one to blame.
    fn sum_of(&self, name: &str, positions: &[usize]) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let kind = self.weight.f_kind()?;
        let own = self.base_weight().f_to_kind(wide(kind))?;
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

    fn set_weight(&mut self, values: &Tensor) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        // Without gradients a weight that trains may be written to in place.
        Ok(self.weight.f_copy_(values)?)
    }
}
