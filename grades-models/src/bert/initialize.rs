//! Giving every variable its value: from the files, or freshly drawn for a new head.

use tch::Tensor;
use tch::nn::VarStore;

use super::options::LoadReport;
use crate::error::{Error, Result};
use crate::files::{Weights, draw_normal};

/// How the values are chosen.
pub(super) struct Initializer<'a> {
    pub(super) weights: &'a Weights,
    /// Standard deviation of fresh weights.
    pub(super) deviation: f64,
    pub(super) seed: u64,
    /// Draw the classifier although the files have one.
    pub(super) new_head: bool,
}

impl Initializer<'_> {
    /// Fills all variables of `store`; nothing is copied unless every tensor has been found.
    pub(super) fn run(&self, store: &VarStore) -> Result<LoadReport> {
        let mut variables: Vec<(String, Tensor)> = store.variables().into_iter().collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));

        let prefixed = self.weights.has_prefix("bert.");
        let sources: Vec<Source> = variables.iter().map(|(name, _)| self.source(name, prefixed)).collect();
        let names = |keep: fn(&Source) -> Option<&String>| -> Vec<String> {
            sources.iter().filter_map(keep).cloned().collect()
        };
        let missing = names(|source| if let Source::Missing(name) = source { Some(name) } else { None });
        let path = || self.weights.path.clone();
        if !missing.is_empty() {
            return Err(self.weights.missing(missing));
        }
        let mut used = names(|source| if let Source::File(name) = source { Some(name) } else { None });
        used.sort();
        let (ignored, unexpected): (Vec<String>, Vec<String>) = self
            .weights
            .names()
            .filter(|name| used.binary_search_by(|used| used.as_str().cmp(name)).is_err())
            .map(str::to_owned)
            .partition(|name| self.harmless(name));
        if !unexpected.is_empty() {
            return Err(Error::Unexpected { path: path(), names: unexpected });
        }

        let mut fresh = Vec::new();
        let _no_grad = tch::no_grad_guard();
        for (stream, ((name, mut variable), source)) in (0..).zip(variables.into_iter().zip(sources)) {
            match source {
                Source::File(source) => self.weights.copy_into(&source, &mut variable)?,
                Source::Fresh | Source::Missing(_) => {
                    self.draw(&name, &mut variable, stream)?;
                    fresh.push(name);
                }
            }
        }
        Ok(LoadReport { fresh, ignored })
    }

    fn source(&self, variable: &str, prefixed: bool) -> Source {
        let in_file = match variable.strip_prefix("bert.") {
            Some(bare) if !prefixed => bare,
            _ => variable,
        };
        let head = variable.starts_with("classifier.");
        if head && self.new_head {
            return Source::Fresh;
        }
        if self.weights.contains(in_file) {
            return Source::File(in_file.to_owned());
        }
        // The names of layer norms in files converted from TensorFlow.
        let old = in_file
            .strip_suffix("LayerNorm.weight")
            .map(|stem| format!("{stem}LayerNorm.gamma"))
            .or_else(|| in_file.strip_suffix("LayerNorm.bias").map(|stem| format!("{stem}LayerNorm.beta")));
        if let Some(old) = old.filter(|name| self.weights.contains(name)) {
            return Source::File(old);
        }
        // A head or pooler may be absent, but not half of one.
        if head || variable.starts_with("bert.pooler.") {
            let stem = in_file.rsplit_once('.').map_or(in_file, |(stem, _)| stem);
            let half = ["weight", "bias"].iter().any(|part| self.weights.contains(&format!("{stem}.{part}")));
            if !half {
                return Source::Fresh;
            }
        }
        Source::Missing(in_file.to_owned())
    }

    /// Tensors that a sequence classifier does not have, but that belong to files of this kind.
    fn harmless(&self, name: &str) -> bool {
        let bare = name.strip_prefix("bert.").unwrap_or(name);
        matches!(bare, "embeddings.position_ids" | "embeddings.token_type_ids")
            // The heads of pre-training.
            || name.starts_with("cls.")
            || (self.new_head && name.starts_with("classifier."))
    }

    /// Zeros for a bias; for a weight, normal numbers that depend on the seed and the variable's place
    /// among the sorted names only: the same on every device, whatever torch's own generator did before.
    fn draw(&self, name: &str, variable: &mut Tensor, stream: u64) -> Result<()> {
        if name.ends_with(".bias") {
            let _ = variable.f_zero_()?;
            return Ok(());
        }
        draw_normal(variable, self.deviation, self.seed, stream)
    }
}

enum Source {
    File(String),
    Fresh,
    Missing(String),
}
