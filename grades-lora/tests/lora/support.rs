//! A model of three linear layers, and numbers that depend on their position only.

use grades_lora::{Adapter, Linear, LinearLayers, LoraConfig};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::tolerance::{ADAPTED_NETWORK, assert_within};

/// `sin(start + 1.7 i)`, as `golden.py` makes its numbers.
pub(crate) fn numbers(start: f64, shape: &[i64], kind: Kind) -> Tensor {
    let count = shape.iter().product::<i64>();
    let index = Tensor::arange(count, (Kind::Double, Device::Cpu));
    (index * 1.7 + start).sin().reshape(shape).to_kind(Kind::Float).to_kind(kind)
}

/// Writes values into a variable.
pub(crate) fn set(variable: &Tensor, values: &Tensor) {
    tch::no_grad(|| variable.shallow_clone().copy_(values));
}

/// Fails unless outputs or weights of `Net`, in f32, are equal to rounding.
pub(crate) fn assert_near(ours: &Tensor, theirs: &Tensor, what: &str) {
    assert_within(ours, theirs, ADAPTED_NETWORK.tolerance(Kind::Float), what);
}

/// The bytes of a tensor of any kind.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.detach().contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

/// Two blocks of a feed-forward network and a head, with their variables.
pub(crate) struct Net {
    pub(crate) vs: VarStore,
    pub(crate) layers: Layers,
}

pub(crate) struct Layers(pub(crate) Vec<(String, Linear)>);

impl LinearLayers for Layers {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        for (name, layer) in &mut self.0 {
            visit(name, layer);
        }
    }
}

pub(crate) const NAMES: [&str; 3] = ["layers.0.mlp.up", "layers.0.mlp.down", "classifier"];

impl Net {
    pub(crate) fn new() -> Self {
        Self::of_kind(Kind::Float)
    }

    pub(crate) fn of_kind(kind: Kind) -> Self {
        let vs = VarStore::new(Device::Cpu);
        let layers = NAMES.iter().zip([(6, 10), (10, 6), (6, 3)]).enumerate();
        let layers = layers.map(|(i, (name, (inputs, outputs)))| {
            let path = name.split('.').fold(vs.root(), |path, part| path.sub(part));
            let variable = |end: &str, shape: &[i64], start: f64| {
                let tensor = numbers(start, shape, kind);
                path.add(end, tensor, true)
            };
            let start = i as f64;
            let weight = variable("weight", &[outputs, inputs], start);
            ((*name).to_owned(), Linear::new(weight, Some(variable("bias", &[outputs], start + 0.5))))
        });
        let layers = Layers(layers.collect());
        Self { vs, layers }
    }

    pub(crate) fn layer(&mut self, index: usize) -> &mut Linear {
        &mut self.layers.0[index].1
    }

    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let mut y = x.shallow_clone();
        for (i, (_, layer)) in self.layers.0.iter().enumerate() {
            y = layer.forward(&y, train).unwrap();
            if i == 0 {
                y = y.gelu("none");
            }
        }
        y
    }

    /// Gives all adapters of a name numbers of their position, of which B is not zero.
    pub(crate) fn stir(&mut self, name: &str) {
        for (i, (_, layer)) in self.layers.0.iter().enumerate() {
            if let Some(adapter) = layer.adapter(name) {
                set(adapter.a(), &(numbers(i as f64 + 0.7, &adapter.a().size(), adapter.a().kind()) * 0.5));
                set(adapter.b(), &(numbers(i as f64 + 0.3, &adapter.b().size(), adapter.b().kind()) * 0.5));
            }
        }
    }

    /// The variables that train, by name.
    pub(crate) fn trained(&self) -> Vec<String> {
        let found = grades::parameters::Parameters::from_var_store(&self.vs).unwrap();
        found.iter().map(|(_, parameter)| parameter.name().to_owned()).collect()
    }

    /// The bytes of everything the store holds, by name, with whether it trains.
    pub(crate) fn snapshot(&self) -> Vec<(String, bool, Vec<u8>)> {
        let mut all: Vec<_> = self
            .vs
            .variables()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.requires_grad(), bits(&tensor)))
            .collect();
        all.sort();
        all
    }
}

/// Computes the output of the base alone.
pub(crate) fn plain(layer: &Linear, x: &Tensor) -> Tensor {
    x.linear(layer.weight(), layer.bias())
}

pub(crate) fn input() -> Tensor {
    numbers(0.9, &[4, 6], Kind::Float)
}

/// One layer of 5 inputs and 4 outputs with one adapter of rank 2, all numbers being those of `golden.py`.
pub(crate) fn golden_layer(kind: Kind, bias: bool, config: &LoraConfig) -> Linear {
    let weight = numbers(0.1, &[4, 5], kind);
    let mut layer = Linear::new(weight, bias.then(|| numbers(0.2, &[4], kind)));
    let adapter = Adapter::new("default", &layer, 2, 6.0, config).unwrap();
    set(adapter.a(), &numbers(0.3, &[2, 5], Kind::Float));
    set(adapter.b(), &numbers(0.4, &[4, 2], Kind::Float));
    if let Some(magnitude) = adapter.magnitude() {
        set(magnitude, &(numbers(0.5, &[4], Kind::Float) + 2));
    }
    layer.attach(adapter).unwrap();
    layer
}
