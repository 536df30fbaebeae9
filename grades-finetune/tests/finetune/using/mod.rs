//! Using a trained model: `finetune evaluate`, `predict` and `chat`, and the metrics of predictions.

mod answers;
mod evaluate;
mod metrics;
mod predict;
