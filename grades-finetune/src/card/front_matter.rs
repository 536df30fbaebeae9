//! The YAML at the top of a card, which the Hub reads.

use std::fmt::Write;

use anyhow::Result;

use super::Card;
use super::base::Base;
use super::escape::{hub_name, yaml};

/// Writes the front matter.
pub(super) fn write(card: &Card<'_>, base: &Base) -> Result<String> {
    let adapter = card.config.lora.is_some();
    let mut text = String::from("---\n");
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("base_model: {}", yaml(&base.name)));
    if !adapter {
        line("base_model_relation: finetune".to_owned());
    }
    line(format!("library_name: {}", if adapter { "peft" } else { "transformers" }));
    for (key, value) in &base.licence {
        line(format!("{key}: {}", yaml(value)));
    }
    if let Some(pipeline) = card.pipeline() {
        line(format!("pipeline_tag: {pipeline}"));
    }
    let dataset = hub_name(&card.dataset());
    if let Some(dataset) = &dataset {
        line(format!("datasets:\n- {}", yaml(dataset)));
    }
    let (eval, test) = (card.scores("eval")?, card.scores("test")?);
    let mut metrics: Vec<&str> = eval.iter().chain(&test).map(|(name, _)| name.as_str()).collect();
    metrics.retain(|name| *name != "loss");
    metrics.sort_unstable();
    metrics.dedup();
    if !metrics.is_empty() {
        line("metrics:".to_owned());
        metrics.iter().for_each(|name| line(format!("- {}", yaml(name))));
    }
    line("tags:".to_owned());
    let mut tags = Vec::new();
    if adapter {
        tags.extend([
            format!("base_model:adapter:{}", base.name),
            "lora".to_owned(),
            "transformers".to_owned(),
        ]);
    }
    tags.extend(card.config.freezing.iter().map(|_| "grades".to_owned()));
    tags.push("generated_from_trainer".to_owned());
    tags.iter().for_each(|tag| line(format!("- {}", yaml(tag))));
    if let (Some(task), Some(dataset)) = (card.pipeline(), &dataset)
        && !(eval.is_empty() && test.is_empty())
    {
        text.push_str(&results(card, task, dataset, [("validation", &eval), ("test", &test)]));
    }
    text.push_str("---\n\n");
    Ok(text)
}

/// Writes the results as the Hub's `model-index`.
fn results(card: &Card<'_>, task: &str, dataset: &str, parts: [(&str, &Vec<(String, f64)>); 2]) -> String {
    let mut text = format!("model-index:\n- name: {}\n  results:\n", yaml(&card.name()));
    for (split, scores) in parts.into_iter().filter(|(_, scores)| !scores.is_empty()) {
        // Writing into a text does not fail.
        let _ = write!(
            text,
            "  - task:\n      type: {task}\n    dataset:\n      name: {dataset}\n      type: {dataset}\n      split: {split}\n    metrics:\n",
            dataset = yaml(dataset)
        );
        for (name, value) in scores {
            let _ = writeln!(text, "    - type: {}\n      value: {value}", yaml(name));
        }
    }
    text
}
