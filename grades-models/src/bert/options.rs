//! Options and report of loading a classifier.

use tch::{Device, Kind};

/// Options of [`BertClassifier::load`](super::BertClassifier::load).
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The names of the labels, by id. `None` takes the model's own, which a base model may not have.
    pub labels: Option<Vec<String>>,
    /// Take `labels` as those that occur in data, in any order: where the model in the files has names for its labels and
    /// all of these are among them, the model's own labels stay, in their order.
    pub subset: bool,
    /// Draw a new classification head even if the files have one.
    pub new_head: bool,
    /// The device of the variables.
    pub device: Device,
    /// The dtype of the variables, whatever the files have: `Float`, `Half`, `BFloat16` or `Double`.
    pub dtype: Kind,
    /// Compute the matmuls and the attention of the blocks in bf16 while variables, norms, sums and the head stay in `dtype`.
    /// Each weight is cast once for each value that it has.
    pub autocast: bool,
    /// The seed of newly drawn tensors. torch's own generator is not used.
    pub seed: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            labels: None,
            subset: false,
            new_head: false,
            device: Device::Cpu,
            dtype: Kind::Float,
            autocast: false,
            seed: 0,
        }
    }
}

/// Report of [`BertClassifier::load`](super::BertClassifier::load).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Variables that the files lack and that were drawn: a new head, or a missing pooler.
    pub fresh: Vec<String>,
    /// Tensors of the files that the model does not use.
    pub ignored: Vec<String>,
}
