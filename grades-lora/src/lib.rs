//! LoRA adapters on linear layers of tch, in the files of Python's PEFT, frozen one by one by GradES.
//!
//! A layer's weight W does not change. Two small matrices A `[rank, inputs]` and B `[outputs, rank]` are trained beside
//! it, and the layer computes x·Wᵀ + b + s·(x·Aᵀ)·Bᵀ with s = alpha ÷ rank (Hu et al., arXiv 2106.09685).
//!
//! # Add, train, save
//!
//! A model of your own takes adapters once it visits its linear layers by name:
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
//! // Now A and B of `first` train, and `second`: any optimizer on `vs` sees just these.
//! let trained = grades::parameters::Parameters::from_var_store(&vs)?;
//! let names: Vec<&str> = trained.iter().map(|(_, parameter)| parameter.name()).collect();
//! assert_eq!(names, ["first.lora_A.default.weight", "first.lora_B.default.weight", "second.bias", "second.weight"]);
//!
//! let x = Tensor::randn([8, 16], (Kind::Float, Device::Cpu));
//! let hidden = net.first.forward(&x, true)?.f_relu()?;
//! // A layer is also tch's `ModuleT`, for `apply_t` and `nn::seq_t()`.
//! assert_eq!(hidden.apply_t(&net.second, true).size(), [8, 2]);
//!
//! let dir = std::env::temp_dir().join("grades-lora-example");
//! adapters.save("default", &dir)?; // adapter_config.json and adapter_model.safetensors, which PEFT reads
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Load, merge
//!
//! ```
//! use grades_lora::{Adapters, Linear, LinearLayers, LoadOptions, LoraConfig};
//! use tch::{Device, nn};
//!
//! struct Net(Linear);
//!
//! impl LinearLayers for Net {
//!     fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
//!         visit("layer", &mut self.0);
//!     }
//! }
//!
//! let vs = nn::VarStore::new(Device::Cpu);
//! let mut net = Net(nn::linear(vs.root() / "layer", 8, 8, Default::default()).into());
//! let dir = std::env::temp_dir().join("grades-lora-example-merge");
//! let mut adapters = Adapters::new();
//! adapters.add(&mut net, &vs, "trained", &LoraConfig::new(2))?;
//! adapters.save("trained", &dir)?;
//! adapters.merge_and_unload(&mut net, &vs)?; // a plain model again: the adapter is in its weights
//!
//! let mut adapters = Adapters::new();
//! adapters.load(&mut net, &vs, "loaded", &dir, LoadOptions { trainable: true })?;
//! adapters.merge(&mut net, "loaded")?; // costs nothing in the forward pass
//! adapters.unmerge(&mut net, "loaded")?;
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! - [`LoraConfig`] selects the adapted layers; its keys are those of `adapter_config.json`.
//! - [`Linear`] is a layer with any number of adapters, or none.
//! - [`Adapters`] adds adapters to a model, activates, merges, loads and saves them.
//! - [`MergeFrozen`] merges frozen adapters, so that the forward and backward passes skip them.
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
pub use files::{CONFIG_FILE, WEIGHTS_FILE, open_regular, own_file, read_regular, read_regular_text};
pub use freeze::{MergeFrozen, Merged};
pub use layer::{Adapter, Cast, Linear};
