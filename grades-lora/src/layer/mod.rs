//! A linear layer with adapters.

mod adapter;
mod cast;
mod dora;
mod forward;
mod init;
mod merge;
mod shape;

pub use adapter::Adapter;
pub(crate) use adapter::check_rank;
pub use cast::Cast;
pub(crate) use shape::Shape;

use std::fmt;

use tch::{Kind, Tensor, nn};

use crate::error::{Error, Result};

/// A linear layer: y = x·Wᵀ + b, and beside it any number of adapters.
///
/// Without adapters it is tch's [`nn::Linear`], from which it is made with `into`, and costs the same. Adapters are added
/// by [`Adapters::add`](crate::Adapters::add), or to a single layer by [`attach`](Self::attach).
///
/// ```
/// use grades_lora::{Adapter, Linear, LoraConfig};
/// use tch::{Device, Kind, Tensor, nn};
///
/// let mut vs = nn::VarStore::new(Device::Cpu);
/// let mut layer: Linear = nn::linear(vs.root(), 16, 32, Default::default()).into();
/// vs.freeze(); // only the adapter trains
/// let adapter = Adapter::new("default", &layer, 4, 8.0, &LoraConfig::default())?;
/// layer.attach(adapter)?;
/// let x = Tensor::randn([8, 16], (Kind::Float, Device::Cpu));
/// let y = layer.forward(&x, true)?;
/// layer.merge("default")?;
/// assert!(layer.forward(&x, true)?.allclose(&y, 1e-5, 1e-6, false));
/// # Ok::<(), grades_lora::Error>(())
/// ```
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    adapters: Vec<Adapter>,
    /// The weight with what is merged added, computed with instead of `weight`, which stays as it is.
    merged: Option<Tensor>,
    /// The dtype of products, where it is not that of the weight.
    compute: Option<Kind>,
    casts: Box<Casts>,
}

/// The tensors of a layer in the dtype of its products.
#[derive(Debug, Default)]
struct Casts {
    weight: Cast,
    merged: Cast,
    bias: Cast,
}

impl Linear {
    /// Creates a layer with this weight `[outputs, inputs]` and bias `[outputs]`, which stay the same tensors.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, adapters: Vec::new(), merged: None, compute: None, casts: Box::default() }
    }

    /// Multiplies in this dtype, whatever that of the weight: weight, bias and adapters are cast once for each value that they
    /// have ([`Cast`]), inputs where they differ. Outputs then have this dtype; gradients arrive in the variables' own. DoRA's
    /// norms and gains stay in f32.
    #[must_use]
    pub fn computing_in(mut self, dtype: Kind) -> Self {
        self.compute = Some(dtype);
        self
    }

    /// Returns the weight `[outputs, inputs]` that the layer computes with: what is merged is in it.
    pub fn weight(&self) -> &Tensor {
        self.merged.as_ref().unwrap_or(&self.weight)
    }

    /// Returns the bias `[outputs]`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Returns the tensor that the layer was made with, such as the `VarStore`'s; merging does not change it.
    pub fn base_weight(&self) -> &Tensor {
        &self.weight
    }

    /// Returns the adapters, in the order in which they were attached.
    pub fn adapters(&self) -> &[Adapter] {
        &self.adapters
    }

    /// Returns the adapter of a name.
    pub fn adapter(&self, name: &str) -> Option<&Adapter> {
        self.adapters.iter().find(|adapter| adapter.name() == name)
    }

    /// Puts an adapter in, active. The weight and the bias are left as they are: whether they train is the caller's
    /// affair.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] when there is one of the same name, or its matrices do not go with the weight.
    pub fn attach(&mut self, adapter: Adapter) -> Result<()> {
        let name = adapter.name();
        if self.adapter(name).is_some() {
            return Err(Error::adapter(name, "is there already; names are given once"));
        }
        let shape = Shape::of(self)?;
        if adapter.shape()? != shape {
            return Err(Error::adapter(
                name,
                format!("its matrices are for {}, the layer is {shape}", adapter.shape()?),
            ));
        }
        self.adapters.push(adapter);
        Ok(())
    }

    /// Takes an adapter out, unmerging it first.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] when there is none of this name, [`Error::Torch`] when libtorch refuses.
    pub fn detach(&mut self, name: &str) -> Result<Adapter> {
        let index = self.position(name)?;
        if self.adapters.get(index).is_some_and(Adapter::is_merged) {
            self.unmerge(name)?;
        }
        Ok(self.adapters.remove(index))
    }

    /// Uses an adapter in the forward pass, or does not; one that is merged is unmerged when it is no longer used.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] when there is none of this name, [`Error::Torch`] when libtorch refuses.
    pub fn set_active(&mut self, name: &str, active: bool) -> Result<()> {
        let index = self.position(name)?;
        if !active && self.adapters.get(index).is_some_and(Adapter::is_merged) {
            self.unmerge(name)?;
        }
        if let Some(adapter) = self.adapters.get_mut(index) {
            adapter.active = active;
        }
        Ok(())
    }

    pub(crate) fn position(&self, name: &str) -> Result<usize> {
        self.adapters.iter().position(|adapter| adapter.name() == name).ok_or_else(|| {
            let names: Vec<&str> = self.adapters.iter().map(Adapter::name).collect();
            Error::adapter(name, format!("is not there; there are: {}", crate::error::shortened(&names)))
        })
    }
}

impl From<nn::Linear> for Linear {
    fn from(layer: nn::Linear) -> Self {
        Self::new(layer.ws, layer.bs)
    }
}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linear")
            .field("weight", &self.weight.size())
            .field("bias", &self.bias.is_some())
            .field("adapters", &self.adapters)
            .finish()
    }
}

/// Returns the dtype of adapters of a base of this dtype: f32 for 16-bit ones, as in PEFT.
pub(crate) fn wide(kind: Kind) -> Kind {
    match kind {
        Kind::Half | Kind::BFloat16 => Kind::Float,
        other => other,
    }
}
