//! Uses a trained model: predictions of a classifier, answers of a decoder, and evaluations of either on a file.
//!
//! [`Classifier`] labels texts or pairs of them and [`Answerer`] answers prompts, window by window, so that the length of a
//! file does not matter; [`Answerer::reply`] goes on with a conversation; [`evaluate_file`] measures a model on labelled data as a run does.

mod answerer;
mod classifier;
mod evaluate;
mod load;
mod stop_texts;

pub use answerer::{Answer, AnswerOptions, Answerer};
pub use classifier::{Classifier, ClassifierOptions, Prediction};
pub use evaluate::{EvaluateOptions, evaluate_file};
pub(crate) use load::base_of;
pub use load::{ModelFiles, load_classifier, load_decoder};
