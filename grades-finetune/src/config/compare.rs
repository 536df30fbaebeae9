//! The `[compare]` table, which `finetune compare` reads and `finetune train` leaves alone.

use grades::schema::Section;
use toml::Value;

/// What a comparison of several ways to train consists of.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareConfig {
    /// The seeds, each of which every row is run with.
    pub seeds: Vec<u64>,
    /// The names of the rows; all that are built in when absent.
    pub rows: Option<Vec<String>>,
    /// The learning rate of the rows with adapters; ten times that of the others when absent.
    pub lora_lr: Option<f64>,
    /// Steps in which the cost of watching gradients is measured, half of them without; 0 does not measure it.
    pub monitoring_steps: u64,
}

impl Default for CompareConfig {
    fn default() -> Self {
        Self { seeds: vec![0, 1, 2], rows: None, lora_lr: None, monitoring_steps: 120 }
    }
}

impl CompareConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let default = Self::default();
        let list = |value: Value| -> Option<Vec<u64>> {
            let seeds = value.as_array()?.iter().map(|seed| u64::try_from(seed.as_integer()?).ok());
            seeds.collect::<Option<Vec<u64>>>().filter(|seeds| !seeds.is_empty())
        };
        let seeds = section.value_or("seeds", default.seeds, "a list of whole numbers", list);
        let rows = if section.has("rows") { section.texts("rows").map(Some) } else { Some(None) };
        let lora_lr = if section.has("lora_lr") {
            section.number_or("lora_lr", 0.0, "a number above 0", |lr| lr > 0.0 && lr.is_finite()).map(Some)
        } else {
            Some(None)
        };
        let monitoring_steps =
            section.integer_or("monitoring_steps", default.monitoring_steps, "at least 0", |_| true);
        Some(Self { seeds: seeds?, rows: rows?, lora_lr: lora_lr?, monitoring_steps: monitoring_steps? })
    }
}
