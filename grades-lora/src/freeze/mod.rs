//! Adapters that GradES froze.

use crate::apply::LinearLayers;
use crate::error::Result;
use crate::layer::Linear;

/// Merges adapters that froze into their base while training goes on, so that they cost nothing in the forward and the
/// backward pass.
///
/// An adapter is frozen in a layer when none of its tensors has `requires_grad` on, as
/// [`FreezingOptimizer`](grades::FreezingOptimizer) leaves them. Call it after a step that froze something:
///
/// ```
/// use grades_lora::{Adapters, Linear, LinearLayers, LoraConfig, MergeFrozen};
/// use tch::{Device, nn};
///
/// struct Net(Linear);
/// impl LinearLayers for Net {
///     fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
///         visit("layer", &mut self.0)
///     }
/// }
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let mut net = Net(nn::linear(vs.root() / "layer", 8, 8, Default::default()).into());
/// Adapters::new().add(&mut net, &vs, "default", &LoraConfig::new(2))?;
/// // In a run this does a policy, in a step whose report has events.
/// for tensor in net.0.adapters()[0].tensors() {
///     let _ = tensor.set_requires_grad(false);
/// }
/// let merged = MergeFrozen::new().apply(&mut net)?;
/// assert_eq!(merged.merged, ["layer"]);
/// # Ok::<(), grades_lora::Error>(())
/// ```
///
/// One that a policy thaws is taken out again. The base's own weight, in the `VarStore` and in files, never changes.
///
/// # What it costs
///
/// - The base's own weight stays, so a merged layer uses its weight's memory twice.
/// - A merged adapter has no dropout. With `lora_dropout = 0` a model of f32 computes the same to rounding.
/// - A 16-bit base rounds what is merged: each weight is off by up to u times its size, u being 2⁻⁸ for bf16 and 2⁻¹¹ for
///   f16, and for f16 by 2⁻²⁵ more, which is often more than what the adapter added. So 16-bit bases are left alone
///   unless [`on_16_bit`](Self::on_16_bit) says otherwise.
/// - A layer whose own weight trains is left alone: it would take no gradient while something is merged.
#[derive(Debug, Clone, Copy, Default)]
pub struct MergeFrozen {
    on_16_bit: bool,
}

/// The layers that [`MergeFrozen::apply`] changed, by name, each once in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// Layers with an adapter that was merged.
    pub merged: Vec<String>,
    /// Layers with a merged adapter that trains again, so it was taken out.
    pub unmerged: Vec<String>,
    /// Layers with a frozen adapter on a base of 16 bits, which was left alone.
    pub left_16_bit: Vec<String>,
    /// Layers with a frozen adapter on a base that trains itself, which was left alone.
    pub left_training: Vec<String>,
}

impl MergeFrozen {
    /// Merges into bases of f32 and f64 only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether to merge into bases of bf16 and f16 as well; off unless set.
    #[must_use]
    pub fn on_16_bit(mut self, on: bool) -> Self {
        self.on_16_bit = on;
        self
    }

    /// Merges the adapters that are frozen and in use, and unmerges those that train again.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`](crate::Error::Adapter) when a merge would make weights that are not finite; that layer is
    /// unchanged. [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn apply(&self, model: &mut (impl LinearLayers + ?Sized)) -> Result<Merged> {
        let mut result = Ok(Merged::default());
        model.visit_linear(&mut |name, layer| {
            if let Ok(merged) = &mut result
                && let Err(error) = self.apply_to(name, layer, merged)
            {
                result = Err(error);
            }
        });
        result
    }

    fn apply_to(&self, module: &str, layer: &mut Linear, found: &mut Merged) -> Result<()> {
        let kind = layer.base_weight().f_kind()?;
        let trains = layer.base_weight().requires_grad();
        let leave = crate::layer::wide(kind) != kind && !self.on_16_bit;
        let states: Vec<(String, bool, bool)> = layer
            .adapters()
            .iter()
            .filter(|adapter| adapter.is_active())
            .map(|adapter| (adapter.name().to_owned(), adapter.is_frozen(), adapter.is_merged()))
            .collect();
        for (name, frozen, merged) in states {
            match (frozen, merged) {
                (true, false) if trains => note(&mut found.left_training, module),
                (true, false) if leave => note(&mut found.left_16_bit, module),
                (true, false) => {
                    layer.merge(&name)?;
                    note(&mut found.merged, module);
                }
                (false, true) => {
                    layer.unmerge(&name)?;
                    note(&mut found.unmerged, module);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Adds a layer that is not there yet; all its adapters come one after the other.
fn note(modules: &mut Vec<String>, module: &str) {
    if modules.last().is_none_or(|last| last != module) {
        modules.push(module.to_owned());
    }
}
