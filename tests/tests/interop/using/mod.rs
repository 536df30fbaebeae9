//! Predictions are those of transformers' pipelines, metrics those of scikit-learn and scipy.

mod metrics;
mod predictions;
mod sampling;
