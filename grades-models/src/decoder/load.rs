//! Reads a decoder from a model directory, or draws a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::Decoder;
use super::architecture::Architecture;
use super::config::DecoderConfig;
use super::fused::{FusedMatrix, fused_matrices, sorted};
use crate::error::{Error, Result};
use crate::files::{Dtypes, Sidecars, Weights, draw_normal, name_quantization};

/// Options of [`Decoder::load`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// The device of the variables.
    pub device: Device,
    /// The dtype of the variables, whatever the files have: `Float`, `Half`, `BFloat16` or `Double`.
    pub dtype: Kind,
    /// Compute matmuls and attention in bf16 while variables, norms, sums and the loss stay in `dtype`. Each weight is cast
    /// once for each value that it has.
    pub autocast: bool,
    /// Make each part of a fused matrix (`qkv_proj`, `gate_up_proj`) a variable and component of its own. Files stay fused.
    pub split_fused: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { device: Device::Cpu, dtype: Kind::Float, autocast: false, split_fused: false }
    }
}

impl LoadOptions {
    fn dtypes(self) -> Result<Dtypes> {
        Dtypes::new(self.dtype, self.autocast)
    }
}

/// Report of [`Decoder::load`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors of the files that the model does not use.
    pub ignored: Vec<String>,
    /// Whether the configuration ties the output matrix to the embedding, but the files have one of their own.
    pub untied: bool,
    /// Matrices of the files that are several of the model in one.
    pub fused: Vec<FusedMatrix>,
}

impl Decoder {
    /// Loads a model directory.
    ///
    /// Tensors are copied from memory maps straight into variables of the dtype and on the device asked for. Where the
    /// configuration ties the output matrix to the embedding, an equal copy of it in the files is ignored. One that differs
    /// is kept, and the two are not tied: [`LoadReport::untied`]. Where the files have the output matrix alone, the embedding is
    /// that. `transformers` does the same.
    ///
    /// # Errors
    ///
    /// Every variant of [`Error`] but those of labels: an unreadable or damaged file, a shard that is not there, a
    /// model or rotation that is not supported, tensors that are missing, unexpected or of the wrong shape.
    pub fn load(dir: &Path, options: LoadOptions) -> Result<(Self, LoadReport)> {
        Self::load_with(dir, DecoderConfig::load(dir)?, options)
    }

    /// As [`load`](Self::load), with the directory's configuration, which was read before.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(
        dir: &Path,
        mut config: DecoderConfig,
        options: LoadOptions,
    ) -> Result<(Self, LoadReport)> {
        let mut weights = Weights::open(dir)?;
        if config.tie_word_embeddings {
            let embedding = embedding_name(&weights);
            if !weights.contains(&embedding) {
                weights.rename(HEAD, embedding);
            }
        }
        let raw = config.raw.clone();
        let named = |error| name_quantization(error, &raw, dir);
        weights.check_sizes("model.", &config.sizes()).map_err(named)?;
        let untied = config.tie_word_embeddings && has_own_head(&weights)?;
        if untied {
            config.tie_word_embeddings = false;
        }
        let model = Self::new(dir, config, options)?;
        let fused = fused_matrices(&model.config);
        let ignored = model.fill(&weights, &fused).map_err(named)?;
        Ok((model, LoadReport { ignored, untied, fused }))
    }

    /// Draws a model of the directory's configuration at random, for training from scratch; the directory needs no weights.
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
        let dtypes = options.dtypes()?;
        let fused = config.architecture == Architecture::Phi3 && !options.split_fused;
        Self::empty(config, Sidecars::read(dir)?, options.device, dtypes, fused)
    }

    /// Fills all variables; nothing is copied unless every tensor has been found. Returns the tensors without use.
    fn fill(&self, weights: &Weights, fused: &[FusedMatrix]) -> Result<Vec<String>> {
        let prefixed = weights.has_prefix("model.");
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
        let path = || weights.path.clone();
        let missing: Vec<String> =
            used.iter().filter(|name| !weights.contains(name)).map(|name| (*name).to_owned()).collect();
        if !missing.is_empty() {
            return Err(weights.missing(missing));
        }
        let (ignored, unexpected): (Vec<String>, Vec<String>) = weights
            .names()
            .filter(|name| !used.contains(name))
            .map(str::to_owned)
            .partition(|name| name.ends_with("rotary_emb.inv_freq") || name == "lm_head.weight");
        if !unexpected.is_empty() {
            return Err(Error::Unexpected { path: path(), names: unexpected });
        }
        for source in &sources {
            weights.check_shape(&source.name, &source.shape)?;
        }
        let _no_grad = tch::no_grad_guard();
        for Source { name, shape, first, mut variable } in sources {
            weights.copy_rows_into(&name, &shape, first, &mut variable)?;
        }
        Ok(ignored)
    }
}

/// The name of the output matrix in files.
const HEAD: &str = "lm_head.weight";

/// Returns the name that the embedding has in the files.
fn embedding_name(weights: &Weights) -> String {
    let prefix = if weights.has_prefix("model.") { "model." } else { "" };
    format!("{prefix}embed_tokens.weight")
}

/// Returns whether the files have an output matrix that differs from the embedding.
fn has_own_head(weights: &Weights) -> Result<bool> {
    Ok(weights.contains(HEAD) && !weights.are_equal(HEAD, &embedding_name(weights))?)
}

/// The source of a variable's values: rows of a tensor of the files from `first` on.
struct Source {
    name: String,
    /// The shape of the whole tensor.
    shape: Vec<i64>,
    first: i64,
    variable: Tensor,
}
