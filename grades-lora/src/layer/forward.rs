//! The forward pass.

use tch::nn::ModuleT;
use tch::{Kind, TchError, Tensor};

use super::Linear;
use super::adapter::Adapter;
use super::dora::{self, Gain};

impl Linear {
    /// Applies the layer to x `[.., inputs]`: `[.., outputs]`, in x's kind, or in that of
    /// [`computing_in`](Self::computing_in).
    ///
    /// Each adapter that is active and not merged adds s·(dropout(x)·Aᵀ)·Bᵀ, or with DoRA what takes x·(W + s·BA)ᵀ to
    /// its magnitudes; W + s·BA itself is never made. On a 16-bit base this is computed and added in f32. Dropout is
    /// active iff `train`, and draws from torch's generator.
    ///
    /// # Errors
    ///
    /// When libtorch refuses, such as for an x of another width.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let live: Vec<&Adapter> =
            self.adapters.iter().filter(|adapter| adapter.active && !adapter.merged).collect();
        let kind = match self.compute {
            Some(kind) => kind,
            None => x.f_kind()?,
        };
        let narrow = self.narrow(x)?;
        let x = narrow.as_ref().unwrap_or(x);
        let bias = self.bias_in_use()?;
        let Some(first) = live.first() else { return x.f_linear(&self.weight_in_use()?, bias.as_ref()) };
        let mut shape = x.size();
        let inputs = shape.pop().unwrap_or(1);
        shape.push(*self.weight.size().first().unwrap_or(&0));
        let rows = x.f_reshape([-1, inputs])?;
        let has_dora = live.iter().any(|adapter| adapter.magnitude.is_some());
        let wide = if has_dora { None } else { self.compute };
        let wide = match wide {
            Some(kind) => kind,
            None => first.a.f_kind()?,
        };
        // A shallow copy where the kinds agree.
        let wide_rows = rows.f_to_kind(wide)?;
        let drops = |adapter: &Adapter| train && adapter.dropout > 0.0;
        let y = match live[..] {
            [only] if only.magnitude.is_some() && !drops(only) && self.merged.is_none() => {
                self.dora_alone(only, &rows, &wide_rows)?
            }
            _ if has_dora => self.with_dora(&live, &rows, &wide_rows, train)?,
            _ => {
                let y = rows.f_linear(&self.weight_in_use()?, bias.as_ref())?;
                // The output of a product is nobody else's, so it is added to in place.
                let mut y = y.f_to_kind(wide_rows.f_kind()?)?;
                for adapter in live {
                    let lowered = adapter.lower(&adapter.drop(&wide_rows, train)?)?;
                    let _ = y.f_addmm_(&lowered, &adapter.b_in(wide)?.f_tr()?)?;
                }
                y
            }
        };
        y.f_to_kind(kind)?.f_view(shape.as_slice())
    }

    /// Computes one DoRA adapter without dropout, nothing being merged: g ∘ (x·Wᵀ + s·x·AᵀBᵀ) + b with g = magnitude ÷
    /// norm.
    fn dora_alone(&self, adapter: &Adapter, rows: &Tensor, wide_rows: &Tensor) -> Result<Tensor, TchError> {
        let gain = self.gain(adapter)?;
        let mut sum = rows.f_linear(&self.base_in_use()?, None::<&Tensor>)?.f_to_kind(wide_rows.f_kind()?)?;
        let _ = sum.f_addmm_(&adapter.lower(wide_rows)?, &adapter.b.f_tr()?)?;
        match &self.bias {
            Some(bias) => bias.f_to_kind(sum.f_kind()?)?.f_addcmul(&sum, &gain),
            None => sum.f_mul(&gain),
        }
    }

    /// Computes any adapters: each adds to x·Wᵀ + b, those with DoRA (g − 1)·x·W₀ᵀ + g·s·x·AᵀBᵀ, W₀ being the base's own.
    fn with_dora(
        &self,
        live: &[&Adapter],
        rows: &Tensor,
        wide_rows: &Tensor,
        train: bool,
    ) -> Result<Tensor, TchError> {
        let kind = wide_rows.f_kind()?;
        let through = |rows: &Tensor, weight: &Tensor| {
            rows.f_to_kind(weight.f_kind()?)?.f_linear(weight, None::<&Tensor>)?.f_to_kind(kind)
        };
        let base = self.base_in_use()?;
        let plain = through(rows, &base)?;
        let mut y = match &self.merged {
            Some(_) => through(rows, &self.weight_in_use()?)?,
            None => plain.shallow_clone(),
        };
        if let Some(bias) = &self.bias {
            y = y.f_add(&bias.f_to_kind(kind)?)?;
        }
        for adapter in live {
            let input = adapter.drop(wide_rows, train)?;
            let raised = adapter.lower(&input)?.f_matmul(&adapter.b.f_tr()?)?;
            y = if adapter.magnitude.is_some() {
                let gain = self.gain(adapter)?;
                let plain = if train && adapter.dropout > 0.0 {
                    through(&input, &base)?
                } else {
                    plain.shallow_clone()
                };
                y.f_add(&plain.f_mul(&gain.f_sub_scalar(1.0)?)?)?.f_addcmul(&raised, &gain)?
            } else {
                y.f_add(&raised)?
            };
        }
        Ok(y)
    }

    /// Returns an input in the dtype of products, unless it has it.
    fn narrow(&self, x: &Tensor) -> Result<Option<Tensor>, TchError> {
        match self.compute {
            Some(kind) if x.f_kind()? != kind => x.f_to_kind(kind).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the weight that the layer computes with, in the dtype of products.
    fn weight_in_use(&self) -> Result<Tensor, TchError> {
        match (&self.merged, self.compute) {
            (Some(merged), Some(kind)) => self.casts.merged.of(merged, kind),
            (Some(merged), None) => Ok(merged.shallow_clone()),
            (None, _) => self.base_in_use(),
        }
    }

    /// Returns the base's own weight in the dtype of products.
    fn base_in_use(&self) -> Result<Tensor, TchError> {
        match self.compute {
            Some(kind) => self.casts.weight.of(&self.weight, kind),
            None => Ok(self.weight.shallow_clone()),
        }
    }

    /// Returns the bias in the dtype of products.
    fn bias_in_use(&self) -> Result<Option<Tensor>, TchError> {
        let cast = |bias: &Tensor| match self.compute {
            Some(kind) => self.casts.bias.of(bias, kind),
            None => Ok(bias.shallow_clone()),
        };
        self.bias.as_ref().map(cast).transpose()
    }

    /// Computes magnitude ÷ norm, `[outputs]`; ones without DoRA.
    pub(super) fn gain(&self, adapter: &Adapter) -> Result<Tensor, TchError> {
        match &adapter.magnitude {
            Some(magnitude) => {
                let parts = [&self.weight, &adapter.a, &adapter.b, magnitude];
                let state = dora::state(parts)?;
                // Nobody holds it during the call: the layer is of one thread.
                let mut kept = adapter.gain.try_borrow_mut().ok();
                if let (Some(state), Some(Some(kept))) = (&state, kept.as_deref())
                    && kept.made_of == *state
                {
                    return Ok(kept.value.shallow_clone());
                }
                let norms = dora::norms(&self.weight, &adapter.a, &adapter.b, adapter.scaling)?;
                let value = magnitude.f_div(&norms)?;
                if let Some(kept) = &mut kept {
                    **kept = state.map(|made_of| Gain { made_of, value: value.shallow_clone() });
                }
                Ok(value)
            }
            None => {
                let (outputs, _) = adapter.b.size2()?;
                Tensor::f_ones([outputs], (adapter.b.f_kind()?, adapter.b.device()))
            }
        }
    }
}

/// The layer in a sequence of tch, such as `nn::seq_t().add(layer)`, or by `x.apply_t(&layer, train)`.
///
/// # Panics
///
/// As every layer of tch, when libtorch refuses; [`Linear::forward`] returns the error instead.
impl ModuleT for Linear {
    fn forward_t(&self, x: &Tensor, train: bool) -> Tensor {
        match self.forward(x, train) {
            Ok(y) => y,
            // tch's trait has no way to return an error.
            #[allow(clippy::panic, reason = "the contract of tch::nn::ModuleT")]
            Err(error) => panic!("{error}"),
        }
    }
}

impl Adapter {
    fn drop(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        if train && self.dropout > 0.0 { x.f_dropout(self.dropout, true) } else { Ok(x.shallow_clone()) }
    }

    /// Returns B in the dtype of a product.
    fn b_in(&self, kind: Kind) -> Result<Tensor, TchError> {
        self.casts.1.of(&self.b, kind)
    }

    /// Computes s·x·Aᵀ, `[rows, rank]`, in x's kind: the scaling is cheapest here.
    fn lower(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let a = self.casts.0.of(&self.a, x.f_kind()?)?;
        let lowered = x.f_linear(&a, None::<&Tensor>)?;
        if self.scaling == 1.0 { Ok(lowered) } else { lowered.f_mul_scalar(self.scaling) }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::LoraConfig;

    #[test]
    fn the_gain_of_a_frozen_adapter_is_computed_once() {
        let mut layer = Linear::new(Tensor::ones([4, 5], (Kind::Float, Device::Cpu)), None);
        let config = LoraConfig::new(2).dora(true);
        layer.attach(Adapter::new("default", &layer, 2, 2.0, &config).unwrap()).unwrap();
        let adapter = &layer.adapters()[0];
        let same = || layer.gain(adapter).unwrap().data_ptr() == layer.gain(adapter).unwrap().data_ptr();
        let first = layer.gain(adapter).unwrap();
        assert_ne!(layer.gain(adapter).unwrap().data_ptr(), first.data_ptr(), "it trains");
        adapter.set_trainable(false).unwrap();
        assert!(same());
        adapter.set_trainable(true).unwrap();
        let _ = layer.gain(adapter).unwrap();
        assert!(adapter.gain.borrow().is_none(), "nothing is kept of what trains");
    }
}
