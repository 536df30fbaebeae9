//! The sizes of a configuration, checked against the files before anything is made by them.

use super::Weights;
use crate::error::Result;

/// Tensors and blocks that a configuration asks for, by names without the prefix that a bare model lacks.
pub(crate) struct Sizes {
    /// Tensors whose shapes have all sizes, those of blocks by the first.
    pub(crate) tensors: Vec<(String, [i64; 2])>,
    /// The beginning of the names of blocks, before their numbers.
    pub(crate) blocks: &'static str,
    /// How many blocks there are.
    pub(crate) count: usize,
}

impl Weights {
    /// Checks that the files are of a model of these sizes, so that what is made by them is no larger than the files.
    pub(crate) fn check_sizes(&self, prefix: &str, sizes: &Sizes) -> Result<()> {
        let prefix = if self.has_prefix(prefix) { prefix } else { "" };
        let tensors = sizes.tensors.iter().map(|(name, shape)| (format!("{prefix}{name}"), shape));
        let tensors: Vec<(String, &[i64; 2])> = tensors.collect();
        let blocks = format!("{prefix}{}.", sizes.blocks);
        let first = format!("{blocks}0.");
        let parts: Vec<&str> = self.names().filter_map(|name| name.strip_prefix(&first)).collect();
        let last = format!("{blocks}{}.", sizes.count.saturating_sub(1));
        let short = !self.has_prefix(&last);
        let absent = (0..if short { sizes.count } else { 0 })
            .flat_map(|block| parts.iter().map(move |part| (block, part)))
            .map(|(block, part)| format!("{blocks}{block}.{part}"));
        let names: Vec<String> = tensors.iter().map(|(name, _)| name.clone()).chain(absent).collect();
        let missing: Vec<String> = names.into_iter().filter(|name| !self.contains(name)).collect();
        if !missing.is_empty() {
            return Err(self.missing(missing));
        }
        tensors.iter().try_for_each(|(name, shape)| self.check_shape(name, *shape))
    }
}
