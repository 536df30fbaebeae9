//! An adapter of one layer: A, B and, with DoRA, the magnitudes.

use std::cell::RefCell;
use std::fmt;

use tch::{Kind, TchError, Tensor};

use super::cast::Cast;
use super::dora::{self, Gain};
use super::shape::Shape;
use super::{Linear, init};
use crate::config::LoraConfig;
use crate::error::{Error, Result};

/// An adapter of one layer: A `[rank, inputs]`, B `[outputs, rank]` and, with DoRA, a magnitude `[outputs]`, of the
/// base's kind, or f32 on a 16-bit base.
pub struct Adapter {
    name: String,
    pub(super) a: Tensor,
    pub(super) b: Tensor,
    pub(super) magnitude: Option<Tensor>,
    pub(super) scaling: f64,
    pub(super) dropout: f64,
    pub(super) active: bool,
    pub(super) merged: bool,
    /// DoRA's gain while nothing that it is made of trains.
    pub(super) gain: RefCell<Option<Gain>>,
    /// A and B in the dtype of the layer's products.
    pub(super) casts: (Cast, Cast),
}

impl Adapter {
    /// Creates a fresh adapter for a layer; of `config` the initialisation, the dropout, rsLoRA and DoRA count. A and B are
    /// drawn from torch's generator, and have `requires_grad` on.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a configuration that is wrong in itself, [`Error::Adapter`] for a rank below 1 or above
    /// the smaller side of the weight, or with DoRA a weight with a row of zeros, [`Error::Torch`] when libtorch refuses.
    pub fn new(name: &str, layer: &Linear, rank: i64, alpha: f64, config: &LoraConfig) -> Result<Self> {
        config.check()?;
        let shape = Shape::of(layer)?;
        check_rank(rank, shape).map_err(|message| Error::adapter(name, message))?;
        let (a, b) = init::matrices(config.init, rank, shape)?;
        let scaling = config.scaling(rank, alpha);
        let magnitude = if config.use_dora {
            Some(dora::norms(layer.base_weight(), &a, &b, scaling)?.f_detach()?)
        } else {
            None
        };
        let adapter = Self::from_tensors(name, a, b, magnitude, scaling, config.dropout)?;
        adapter.check_norms(layer).map_err(|message| Error::adapter(name, message))?;
        Ok(adapter)
    }

    /// Refuses DoRA on a weight of which a row is zero with the adapter added: its direction, the row divided by its
    /// norm, would be no number.
    pub(crate) fn check_norms(&self, layer: &Linear) -> Result<(), String> {
        if self.magnitude.is_none() {
            return Ok(());
        }
        let zero = || -> Result<Option<i64>, TchError> {
            let norms = dora::norms(layer.base_weight(), &self.a, &self.b, self.scaling)?;
            // Also what is no number is not above zero.
            let wrong = norms.f_gt(0.0)?.f_logical_not()?;
            if i64::try_from(wrong.f_any()?)? == 0 {
                return Ok(None);
            }
            i64::try_from(wrong.f_to_kind(Kind::Float)?.f_argmax(0, false)?).map(Some)
        };
        match zero() {
            Ok(None) => Ok(()),
            Ok(Some(row)) => Err(format!(
                "DoRA needs weights whose rows are finite and not all zeros, row {row} of this one is not; leave the layer \
                 out (\"exclude_modules\"), or train without DoRA (\"use_dora\")"
            )),
            Err(error) => Err(Error::from(error).to_string()),
        }
    }

    /// Creates an adapter of these tensors, which stay the same and get `requires_grad` on.
    pub(crate) fn from_tensors(
        name: &str,
        a: Tensor,
        b: Tensor,
        magnitude: Option<Tensor>,
        scaling: f64,
        dropout: f64,
    ) -> Result<Self> {
        let adapter = Self {
            name: name.to_owned(),
            a,
            b,
            magnitude,
            scaling,
            dropout,
            active: true,
            merged: false,
            gain: RefCell::default(),
            casts: Default::default(),
        };
        adapter.set_trainable(true)?;
        Ok(adapter)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the matrix A `[rank, inputs]`.
    pub fn a(&self) -> &Tensor {
        &self.a
    }

    /// Returns the matrix B `[outputs, rank]`.
    pub fn b(&self) -> &Tensor {
        &self.b
    }

    /// Returns DoRA's magnitude `[outputs]`.
    pub fn magnitude(&self) -> Option<&Tensor> {
        self.magnitude.as_ref()
    }

    /// Returns the factor s on the adapter's output.
    pub fn scaling(&self) -> f64 {
        self.scaling
    }

    /// Returns the share of its inputs that is dropped in training.
    pub fn dropout(&self) -> f64 {
        self.dropout
    }

    /// Returns whether the forward pass uses it.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Returns whether it is part of the layer's weight now.
    pub fn is_merged(&self) -> bool {
        self.merged
    }

    /// Returns whether no tensor of it takes a gradient.
    pub fn is_frozen(&self) -> bool {
        self.tensors().all(|tensor| !tensor.requires_grad())
    }

    /// Returns A, B and the magnitude, where there is one.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.a, &self.b].into_iter().chain(&self.magnitude)
    }

    /// Returns the tensors with the ends of their names in a `VarStore`.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        ["lora_A", "lora_B", "lora_magnitude_vector"].into_iter().zip(self.tensors())
    }

    /// Turns gradients on or off for all tensors.
    pub(crate) fn set_trainable(&self, on: bool) -> Result<()> {
        for tensor in self.tensors() {
            // What is returned is another handle to the same tensor.
            tensor.f_set_requires_grad(on).map(drop)?;
        }
        Ok(())
    }

    /// Returns the shape of the layers that it goes with.
    pub(super) fn shape(&self) -> Result<Shape> {
        let (_, inputs) = self.a.size2()?;
        let (outputs, _) = self.b.size2()?;
        Ok(Shape { inputs, outputs, kind: self.a.f_kind()?, device: self.a.device() })
    }
}

/// Checks that a rank goes with a layer.
pub(crate) fn check_rank(rank: i64, shape: Shape) -> Result<(), String> {
    let largest = shape.inputs.min(shape.outputs);
    if (1..=largest).contains(&rank) {
        return Ok(());
    }
    Err(format!(
        "a rank of {rank} does not go with {} inputs and {} outputs; expected 1 to {largest} (\"r\", or \
         \"rank_pattern\" for this layer alone)",
        shape.inputs, shape.outputs
    ))
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter")
            .field("name", &self.name)
            .field("a", &self.a.size())
            .field("b", &self.b.size())
            .field("dora", &self.magnitude.is_some())
            .field("scaling", &self.scaling)
            .field("dropout", &self.dropout)
            .field("active", &self.active)
            .field("merged", &self.merged)
            .finish()
    }
}
