//! Helpers of the model's tests.

#[path = "../support/tiny.rs"]
mod tiny;

use grades_models::bert::{BertClassifier, LoadOptions};
use tch::{Kind, Tensor};

pub(crate) use tiny::{Tensors, Tiny, write_tensors};

impl Tiny {
    pub(crate) fn load(&self) -> BertClassifier {
        let labels = ["no", "yes"].map(String::from).to_vec();
        let options = LoadOptions { labels: Some(labels), ..LoadOptions::default() };
        BertClassifier::load(self.path(), options).unwrap().0
    }

    /// The message of the error that loading gives.
    pub(crate) fn error(&self, options: LoadOptions) -> String {
        match BertClassifier::load(self.path(), options) {
            Ok(_) => panic!("the model loaded"),
            Err(error) => error.to_string(),
        }
    }
}

/// Three sentences, two of them padded.
pub(crate) fn batch() -> (Tensor, Tensor) {
    let ids = Tensor::from_slice(&[1i64, 5, 9, 12, 2, 1, 7, 2, 0, 0, 1, 30, 31, 2, 0]).view([3, 5]);
    let mask = ids.ne(0).to_kind(Kind::Int64);
    (ids, mask)
}

pub(crate) fn logits(model: &BertClassifier) -> Tensor {
    let (ids, mask) = batch();
    tch::no_grad(|| model.forward(&ids, &mask, false)).unwrap()
}
