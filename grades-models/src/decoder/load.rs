//! Reading a model directory into a decoder, or drawing one afresh.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::Decoder;
use super::architecture::Architecture;
use super::config::DecoderConfig;
use super::layers::Kinds;
use super::parts::{FusedMatrix, fused_matrices, sorted};
use crate::error::{Error, Result};
use crate::files::{Checkpoint, Companions, draw_normal, dtype_name};

/// How [`Decoder::load`] is to read a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// Where the variables live.
    pub device: Device,
    /// The kind of the variables, whatever the files hold: `Float`, `Half`, `BFloat16` or `Double`.
    pub kind: Kind,
    /// Multiply matrices in bf16 while the variables, norms, sums and the loss keep `kind`.
    pub autocast: bool,
    /// Make each part of a fused matrix a variable, and so a component, of its own; files stay fused.
    pub split_fused: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { device: Device::Cpu, kind: Kind::Float, autocast: false, split_fused: false }
    }
}

impl LoadOptions {
    fn kinds(self) -> Result<Kinds> {
        if dtype_name(self.kind).is_none() {
            return Err(Error::Input(format!(
                "a model cannot be loaded as {:?}; supported: Float, Half, BFloat16, Double",
                self.kind
            )));
        }
        let products = if self.autocast { Kind::BFloat16 } else { self.kind };
        Ok(Kinds { variables: self.kind, products })
    }
}

/// What [`Decoder::load`] found beyond the variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors of the files that the model has no use for.
    pub ignored: Vec<String>,
    /// The matrices of the files that are several in one.
    pub fused: Vec<FusedMatrix>,
}

impl Decoder {
    /// Loads a model directory.
    ///
    /// Tensors are copied from memory maps straight into variables of the kind and on the device asked for. A copy of
    /// the output matrix in the files of a model with tied embeddings is ignored, as `transformers` does.
    ///
    /// # Errors
    ///
    /// Every variant of [`Error`] but those of labels: an unreadable or damaged file, a shard that is not there, a
    /// model or rotation that is not supported, tensors that are missing, unexpected or of the wrong shape.
    pub fn load(dir: &Path, options: LoadOptions) -> Result<(Self, LoadReport)> {
        let config = DecoderConfig::load(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        checkpoint.check_sizes("model.", &config.sizes())?;
        let model = Self::new(dir, config, options)?;
        let fused = fused_matrices(&model.config);
        let ignored = model.fill(&checkpoint, &fused)?;
        Ok((model, LoadReport { ignored, fused }))
    }

    /// A model of the directory's configuration with weights that are drawn afresh, for training from scratch; the
    /// directory needs no weights.
    ///
    /// Matrices are normal with the deviation `initializer_range`, biases 0, norms 1. The numbers depend on the seed
    /// and the names of the variables only; torch's own generator is not touched.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), for the configuration.
    pub fn draw(dir: &Path, options: LoadOptions, seed: u64) -> Result<Self> {
        let config = DecoderConfig::load(dir)?;
        let deviation = config.initializer_range;
        let model = Self::new(dir, config, options)?;
        let _no_grad = tch::no_grad_guard();
        for (stream, (name, mut variable)) in (0..).zip(sorted(&model.store)) {
            if name.ends_with("norm.weight") {
                let _ = variable.f_fill_(1.0)?;
            } else if name.ends_with(".bias") {
                let _ = variable.f_zero_()?;
            } else {
                draw_normal(&mut variable, deviation, seed, stream)?;
            }
        }
        Ok(model)
    }

    fn new(dir: &Path, config: DecoderConfig, options: LoadOptions) -> Result<Self> {
        let kinds = options.kinds()?;
        let fused = config.architecture == Architecture::Phi3 && !options.split_fused;
        Self::empty(config, Companions::read(dir)?, options.device, kinds, fused)
    }

    /// Fills all variables; nothing is copied unless every tensor has been found. Returns the tensors without use.
    fn fill(&self, checkpoint: &Checkpoint, fused: &[FusedMatrix]) -> Result<Vec<String>> {
        let prefixed = checkpoint.has_prefix("model.");
        let in_file = |name: &str| match name.strip_prefix("model.") {
            Some(bare) if !prefixed => bare.to_owned(),
            _ => name.to_owned(),
        };
        let mut rows = BTreeMap::new();
        for matrix in fused {
            let mut first = 0;
            let total: i64 = matrix.parts.iter().map(|(_, rows)| rows).sum();
            for (part, count) in &matrix.parts {
                rows.insert(part.as_str(), (matrix.name.as_str(), first, total));
                first += count;
            }
        }
        let source = |(name, variable): (String, Tensor)| {
            let mut shape = variable.size();
            let (name, first) = match rows.get(name.as_str()) {
                Some(&(whole, first, total)) => {
                    shape[0] = total;
                    (in_file(whole), first)
                }
                None => (in_file(&name), 0),
            };
            Source { name, shape, first, variable }
        };
        let sources: Vec<Source> = sorted(&self.store).into_iter().map(source).collect();
        let used: BTreeSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let path = || checkpoint.path.clone();
        let missing: Vec<String> =
            used.iter().filter(|name| !checkpoint.contains(name)).map(|name| (*name).to_owned()).collect();
        if !missing.is_empty() {
            return Err(Error::Missing { path: path(), names: missing });
        }
        let (ignored, unexpected): (Vec<String>, Vec<String>) = checkpoint
            .names()
            .filter(|name| !used.contains(name))
            .map(str::to_owned)
            .partition(|name| name.ends_with("rotary_emb.inv_freq") || name == "lm_head.weight");
        if !unexpected.is_empty() {
            return Err(Error::Unexpected { path: path(), names: unexpected });
        }
        for source in &sources {
            checkpoint.check_shape(&source.name, &source.shape)?;
        }
        let _no_grad = tch::no_grad_guard();
        for Source { name, shape, first, mut variable } in sources {
            checkpoint.copy_rows_into(&name, &shape, first, &mut variable)?;
        }
        Ok(ignored)
    }
}

/// Where a variable's values are: rows of a tensor of the files from `first` on.
struct Source {
    name: String,
    /// The shape of the whole tensor.
    shape: Vec<i64>,
    first: i64,
    variable: Tensor,
}
