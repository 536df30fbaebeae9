//! A BERT of two blocks whose numbers depend on nothing but their names.

use std::collections::BTreeMap;

use tch::nn::{Init, VarStore};
use tch::{Device, Kind, Tensor, no_grad};

const VOCABULARY: i64 = 17;
const CLASSES: i64 = 3;
const LENGTH: i64 = 5;
const BATCH: i64 = 4;

/// How a [`TinyBert`] is made.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The width; the feed-forward network is twice as wide.
    pub hidden: i64,
    /// Blocks that have parameters.
    pub layers: usize,
    /// Blocks that are used, the first ones.
    pub used: usize,
    /// Whether the variables are added to the `VarStore` last first.
    pub reversed: bool,
    /// The parameter group of a variable, by its name.
    pub group: fn(&str) -> usize,
    /// The device of its variables.
    pub device: Device,
}

impl Default for Spec {
    fn default() -> Self {
        Self { hidden: 8, layers: 2, used: 2, reversed: false, group: |_| 0, device: Device::Cpu }
    }
}

/// A BERT classifier: embeddings, blocks with biases and norms, a pooled head. No dropout.
#[derive(Debug)]
pub struct TinyBert {
    /// Its variables.
    pub vs: VarStore,
    variables: BTreeMap<String, Tensor>,
    spec: Spec,
}

impl TinyBert {
    /// A model whose parameters are numbers made from their names.
    pub fn new(spec: Spec) -> Self {
        let vs = VarStore::new(spec.device);
        let mut shapes = shapes(spec);
        if spec.reversed {
            shapes.reverse();
        }
        let variables = shapes.into_iter().map(|(name, shape)| {
            let parts: Vec<&str> = name.split('.').collect();
            let (leaf, parents) = parts.split_last().unwrap();
            let path =
                parents.iter().fold(vs.root(), |path, part| path.sub(*part)).set_group((spec.group)(&name));
            let mut variable = path.var(leaf, &shape, Init::Const(0.0));
            let values = numbers(&name, shape.iter().product());
            no_grad(|| variable.copy_(&values.view(shape.as_slice())));
            (name, variable)
        });
        let variables = variables.collect();
        Self { vs, variables, spec }
    }

    /// A variable.
    pub fn variable(&self, name: &str) -> &Tensor {
        self.variables.get(name).unwrap_or_else(|| panic!("no variable {name}"))
    }

    /// All variables, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.variables.iter().map(|(name, variable)| (name.as_str(), variable))
    }

    /// Takes over another model's numbers.
    pub fn copy_from(&self, other: &TinyBert) {
        no_grad(|| {
            for (name, variable) in &self.variables {
                variable.shallow_clone().copy_(other.variable(name));
            }
        });
    }

    /// The loss of a batch that depends on nothing but its number.
    pub fn loss(&self, batch: u64) -> Tensor {
        let random = |salt: &str, count, limit: i64| {
            let numbers = (numbers(&format!("{salt} {batch}"), count) + 0.5) * limit;
            numbers.floor().clamp(0, limit - 1).to_kind(Kind::Int64).to_device(self.spec.device)
        };
        let tokens = random("tokens", BATCH * LENGTH, VOCABULARY).view([BATCH, LENGTH]);
        self.logits(&tokens).cross_entropy_for_logits(&random("labels", BATCH, CLASSES))
    }

    /// The logits of token ids, one row per sequence.
    pub fn logits(&self, tokens: &Tensor) -> Tensor {
        let positions = Tensor::arange(LENGTH, (Kind::Int64, self.spec.device));
        let embedding = |name: &str, ids: &Tensor| {
            Tensor::embedding(
                self.variable(&format!("embeddings.{name}_embeddings.weight")),
                ids,
                -1,
                false,
                false,
            )
        };
        let embedded = embedding("word", tokens) + embedding("position", &positions);
        let mut hidden = self.norm("embeddings.LayerNorm", &embedded);
        for layer in 0..self.spec.used {
            hidden = self.block(&format!("encoder.layer.{layer}"), &hidden);
        }
        self.linear("classifier", &hidden.mean_dim([1i64].as_slice(), false, Kind::Float))
    }

    fn block(&self, at: &str, input: &Tensor) -> Tensor {
        let projected = |name: &str| self.linear(&format!("{at}.attention.self.{name}"), input);
        let scores =
            projected("query").matmul(&projected("key").transpose(1, 2)) / (self.spec.hidden as f64).sqrt();
        let attended = scores.softmax(-1, Kind::Float).matmul(&projected("value"));
        let attended = self.linear(&format!("{at}.attention.output.dense"), &attended);
        let attended = self.norm(&format!("{at}.attention.output.LayerNorm"), &(attended + input));
        let inner = self.linear(&format!("{at}.intermediate.dense"), &attended).gelu("none");
        let output = self.linear(&format!("{at}.output.dense"), &inner);
        self.norm(&format!("{at}.output.LayerNorm"), &(output + attended))
    }

    fn linear(&self, name: &str, input: &Tensor) -> Tensor {
        input.linear(self.variable(&format!("{name}.weight")), Some(self.variable(&format!("{name}.bias"))))
    }

    fn norm(&self, name: &str, input: &Tensor) -> Tensor {
        let weight = self.variable(&format!("{name}.weight"));
        let bias = self.variable(&format!("{name}.bias"));
        input.layer_norm([self.spec.hidden].as_slice(), Some(weight), Some(bias), 1e-5, false)
    }
}

fn shapes(spec: Spec) -> Vec<(String, Vec<i64>)> {
    let hidden = spec.hidden;
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![VOCABULARY, hidden]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![LENGTH, hidden]),
    ];
    let with_bias = |name: String, weight: &[i64]| {
        [(format!("{name}.weight"), weight.to_vec()), (format!("{name}.bias"), vec![weight[0]])]
    };
    shapes.extend(with_bias("embeddings.LayerNorm".to_owned(), &[hidden]));
    for layer in 0..spec.layers {
        for (name, shape) in [
            ("attention.self.query", vec![hidden, hidden]),
            ("attention.self.key", vec![hidden, hidden]),
            ("attention.self.value", vec![hidden, hidden]),
            ("attention.output.dense", vec![hidden, hidden]),
            ("attention.output.LayerNorm", vec![hidden]),
            ("intermediate.dense", vec![2 * hidden, hidden]),
            ("output.dense", vec![hidden, 2 * hidden]),
            ("output.LayerNorm", vec![hidden]),
        ] {
            shapes.extend(with_bias(format!("encoder.layer.{layer}.{name}"), &shape));
        }
    }
    shapes.extend(with_bias("classifier".to_owned(), &[CLASSES, hidden]));
    shapes
}

/// Numbers from -0.5 to 0.5 made from a text, so that no generator is shared between tests.
fn numbers(text: &str, count: i64) -> Tensor {
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let numbers: Vec<f32> = (0..count)
        .map(|_| {
            // The steps of PCG's generator and its output's upper bits.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
        .collect();
    Tensor::from_slice(&numbers)
}
