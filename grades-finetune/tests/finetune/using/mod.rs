//! Using a trained model: `finetune evaluate`, `predict`, and the metrics of predictions.

mod evaluate;
mod metrics;
mod predict;
