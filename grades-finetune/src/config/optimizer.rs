//! The `[optimizer]` table.

use grades::schema::field::{ABOVE_ZERO, AT_LEAST_ZERO, BELOW_ONE, flag, number, word};
use grades::schema::{table, words};
use serde::Serialize;

table! {
    /// The optimizer and its hyperparameters.
    #[derive(Debug, Clone, Serialize)]
    pub struct OptimizerConfig = "optimizer" {
        /// The optimizer.
        name: OptimizerName = word(OptimizerName::AdamW),
        // Adapters begin at zero and take larger steps.
        /// The highest learning rate.
        lr: f64 = number(5e-5, ABOVE_ZERO).or(5e-4, "with [lora]"),
        /// The weight decay of all parameters.
        weight_decay: f64 = number(0.01, AT_LEAST_ZERO),
        /// Adam's decay of the first moment.
        beta1: f64 = number(0.9, BELOW_ONE),
        /// Adam's decay of the second moment.
        beta2: f64 = number(0.999, BELOW_ONE),
        /// Adam's term in the denominator.
        eps: f64 = number(1e-8, AT_LEAST_ZERO),
        /// SGD's momentum.
        momentum: f64 = number(0.9, BELOW_ONE),
        /// Update copies of bf16 parameters in f32; without them updates below the weights' spacing are lost.
        master_weights: bool = flag(true),
    }
}

words! {
    /// The optimizers that a configuration can name.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum OptimizerName: "optimizer" {
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
        /// Adam with L2 regularisation.
        Adam = "adam",
        /// Stochastic gradient descent with momentum.
        Sgd = "sgd",
    }
}
