//! LoRA adapters on linear layers of tch, in the files of Python's PEFT, frozen one by one by GradES.
//!
//! A layer's weight W stays as it is; beside it two small matrices A `[rank, inputs]` and B `[outputs, rank]` are
//! trained, and the layer computes x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ with s = alpha ÷ rank (Hu et al., arXiv 2106.09685).
//!
//! A model of one's own takes adapters once it shows its linear layers by name:
//!
//! ```
//! use grades_lora::{Adapters, Linear, LinearLayers, LoraConfig};
//! use tch::{Device, Kind, Tensor, nn};
//!
//! struct Net { first: Linear, second: Linear }
//!
//! impl LinearLayers for Net {
//!     fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
//!         visit("first", &mut self.first);
//!         visit("second", &mut self.second);
//!     }
//! }
//!
//! let vs = nn::VarStore::new(Device::Cpu);
//! let mut net = Net {
//!     first: nn::linear(vs.root() / "first", 16, 32, Default::default()).into(),
//!     second: nn::linear(vs.root() / "second", 32, 2, Default::default()).into(),
//! };
//! let config = LoraConfig::new(4).alpha(8.0).target_modules(["first"]).modules_to_save(["second"]);
//! let mut adapters = Adapters::new();
//! adapters.add(&mut net, &vs, "default", &config)?;
//!
//! // What trains now: A and B of `first`, and `second`. Any optimizer on `vs` sees just these.
//! let trained = grades::parameters::Parameters::from_var_store(&vs)?;
//! let names: Vec<&str> = trained.iter().map(|(_, parameter)| parameter.name()).collect();
//! assert_eq!(names, ["first.lora_A.default.weight", "first.lora_B.default.weight", "second.bias", "second.weight"]);
//!
//! let x = Tensor::randn([8, 16], (Kind::Float, Device::Cpu));
//! let hidden = net.first.forward(&x, true)?.f_relu()?;
//! assert_eq!(net.second.forward(&hidden, true)?.size(), [8, 2]);
//! # let dir = tempfile::tempdir()?;
//! adapters.save(dir.path(), "default")?; // adapter_config.json and adapter_model.safetensors, which PEFT reads
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`LoraConfig`] says which layers are adapted and how; its keys are those of `adapter_config.json`.
//! - [`Linear`] is a layer with any number of adapters, or none.
//! - [`Adapters`] puts adapters into a model, switches between them, merges, loads and saves them.
//! - [`MergeFrozen`] takes adapters that froze out of the forward and backward passes.
//!
//! A layer's A and B are one component of [`FreezingOptimizer`](grades::FreezingOptimizer), or two:
//! [`AdapterGrouping`](grades::component::AdapterGrouping).

mod apply;
mod config;
mod error;
mod files;
mod freeze;
mod layer;

pub use apply::{Adapters, LinearLayers, LoadOptions};
pub use config::{Bias, Init, LoraConfig, Targets};
pub use error::{Error, Result};
pub use files::{CONFIG_FILE, WEIGHTS_FILE, own_file};
pub use freeze::{MergeFrozen, Merged};
pub use layer::{Adapter, Linear};
