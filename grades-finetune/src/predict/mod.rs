//! Uses a trained model: predictions of a classifier, and evaluations of any model on a file.
//!
//! [`Classifier`] labels texts or pairs of them, window by window, so that the length of a file does not matter;
//! [`evaluate_file`] measures a model on labelled data as a run does.

mod classifier;
mod evaluate;
mod load;

pub use classifier::{Classifier, ClassifierOptions, Prediction};
pub use evaluate::{EvaluateOptions, evaluate_file};
pub(crate) use load::base_of;
pub use load::{ModelFiles, load_classifier, load_decoder};
