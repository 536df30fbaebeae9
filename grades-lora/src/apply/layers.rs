//! Linear layers of a model, by name.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::layer::Linear;
use crate::layer::Shape;

/// A model that shows its linear layers by name.
///
/// The names are what configurations and files speak of, so they should be those of Python's model, and those under
/// which the `VarStore` holds the weights: the layer `encoder.layer.0.query` has the variable
/// `encoder.layer.0.query.weight`.
///
/// ```
/// use grades_lora::{Linear, LinearLayers};
///
/// struct Block { query: Linear, value: Linear }
/// struct Model { blocks: Vec<Block>, classifier: Linear }
///
/// impl LinearLayers for Model {
///     fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
///         for (i, block) in self.blocks.iter_mut().enumerate() {
///             visit(&format!("layer.{i}.query"), &mut block.query);
///             visit(&format!("layer.{i}.value"), &mut block.value);
///         }
///         visit("classifier", &mut self.classifier);
///     }
/// }
/// ```
pub trait LinearLayers {
    /// Calls `visit` once with each linear layer and its name, always in the same order.
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear));

    /// Returns whether a layer is the model's head, which `all-linear` leaves out: by its name, one of `lm_head`, `score`,
    /// `classifier` and `embed_out`, unless a model says otherwise.
    fn is_head(&self, name: &str) -> bool {
        let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
        matches!(last, "lm_head" | "score" | "classifier" | "embed_out")
    }

    /// Returns the weights that are others' under a second name, such as an output matrix that is tied to the
    /// embedding: pairs of the second name, which is no variable's, and the variable's.
    fn tied(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The facts about a layer that are known without touching it.
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) head: bool,
    pub(super) shape: Result<Shape>,
    pub(super) has_bias: bool,
    /// The names of its adapters.
    pub(super) adapters: Vec<String>,
}

/// Visits all layers of a model.
pub(super) fn look(model: &mut (impl LinearLayers + ?Sized)) -> Result<Vec<Seen>> {
    let mut seen: Vec<Seen> = Vec::new();
    model.visit_linear(&mut |name, layer| {
        let shape = Shape::of(layer);
        let has_bias = layer.bias().is_some();
        let adapters = layer.adapters().iter().map(|adapter| adapter.name().to_owned()).collect();
        seen.push(Seen { name: name.to_owned(), head: false, shape, has_bias, adapters });
    });
    let mut names = BTreeSet::new();
    for layer in &mut seen {
        layer.head = model.is_head(&layer.name);
        if !names.insert(layer.name.clone()) {
            return Err(Error::layer(&layer.name, "the model shows two layers of this name"));
        }
    }
    Ok(seen)
}

/// Visits the layers until one fails.
pub(super) fn each(
    model: &mut (impl LinearLayers + ?Sized),
    mut act: impl FnMut(&str, &mut Linear) -> Result<()>,
) -> Result<()> {
    let mut result = Ok(());
    model.visit_linear(&mut |name, layer| {
        if result.is_ok() {
            result = act(name, layer);
        }
    });
    result
}
