//! The `[compare]` table, which `finetune compare` reads and `finetune train` ignores.

use grades::schema::field::{ABOVE_ZERO, count, custom, optional_number, optional_value};
use grades::schema::table;
use serde::Serialize;
use toml::Value;

table! {
    /// The ways to train that `finetune compare` compares; `finetune train` ignores it.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct CompareConfig = "compare" {
        /// The seeds that every row is run with.
        seeds: Vec<u64> = custom(vec![0, 1, 2], "a list of whole numbers", seeds),
        /// The names of the rows.
        rows: Option<Vec<String>> = optional_value("a list of strings").note("the usual eight"),
        /// The learning rate of rows with adapters.
        lora_lr: Option<f64> = optional_number(ABOVE_ZERO).note("ten times that of the others"),
        /// Steps in which the cost of monitoring gradients is measured, half of them without; 0 skips it.
        monitoring_steps: u64 = count(120, 0),
    }
}

fn seeds(value: &Value) -> Option<Vec<u64>> {
    let seeds = value.as_array()?.iter().map(|seed| u64::try_from(seed.as_integer()?).ok());
    seeds.collect::<Option<Vec<u64>>>().filter(|seeds| !seeds.is_empty())
}
