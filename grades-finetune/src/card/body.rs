//! The text of a card.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use grades::torch::torch_info;
use grades::tracker::{FreezeEvent, Transition};
use toml::{Table, Value};

use super::Card;
use super::base::Base;
use super::escape::{code, markdown};
use crate::records::freezing_sentence;

/// Writes the text below the front matter.
pub(super) fn write(card: &Card<'_>, base: &Base, events: &[FreezeEvent]) -> Result<String> {
    let mut text = format!("# {}\n\n", markdown(&card.name()));
    let kind = if card.config.lora.is_some() { "A LoRA adapter of" } else { "A fine-tuned version of" };
    // Writing into a text does not fail.
    let _ = writeln!(
        text,
        "{kind} {} on {}. The run ended with: {} after {} of {} steps.\n",
        markdown(&base.name),
        markdown(&card.dataset()),
        card.summary.ended.words(),
        card.summary.steps.steps,
        card.summary.steps.planned_steps
    );
    let _ = writeln!(text, "## Data\n\n{}.", markdown(card.data));
    if !card.labels.is_empty() {
        let labels: Vec<String> = card.labels.iter().map(|label| markdown(label)).collect();
        let _ = writeln!(text, "\nLabels: {}.", labels.join(", "));
    }
    text.push('\n');
    text += &scores(card)?;
    text += &frozen(card, events);
    let _ = write!(text, "## Configuration\n\n{}\n", code("toml", &configuration(card)?));
    let libtorch = torch_info().map(|info| info.loaded_version).unwrap_or_else(|_| "unknown".to_owned());
    let _ = writeln!(text, "## Versions\n\nfinetune {}, libtorch {libtorch}\n", env!("CARGO_PKG_VERSION"));
    Ok(text)
}

/// Writes a table of the scores on both parts of the data.
fn scores(card: &Card<'_>) -> Result<String> {
    let mut rows: BTreeMap<String, [Option<f64>; 2]> = BTreeMap::new();
    for (at, part) in ["eval", "test"].into_iter().enumerate() {
        for (name, value) in card.scores(part)? {
            if let Some(cell) = rows.entry(name).or_default().get_mut(at) {
                *cell = Some(value);
            }
        }
    }
    if rows.is_empty() {
        return Ok("## Metrics\n\nThe model was not evaluated.\n\n".to_owned());
    }
    let mut text = String::from("## Metrics\n\n| metric | evaluation | test |\n|---|---|---|\n");
    for (name, cells) in &rows {
        let cells = cells.map(|cell| cell.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}")));
        let _ = writeln!(text, "| {} | {} |", markdown(&name.replace('_', " ")), cells.join(" | "));
    }
    text.push('\n');
    Ok(text)
}

/// Writes a table of what froze, by kind.
fn frozen(card: &Card<'_>, events: &[FreezeEvent]) -> String {
    if card.config.freezing.is_none() {
        return String::new();
    }
    let mut steps: BTreeMap<&str, (&FreezeEvent, u64)> = BTreeMap::new();
    for event in events {
        match event.event {
            Transition::Freeze => drop(steps.insert(&event.component, (event, event.step))),
            Transition::Thaw => drop(steps.remove(&*event.component)),
            _ => {}
        }
    }
    let counts = card.summary.freezing;
    let mut text = format!(
        "## Frozen components\n\n{} of {} components froze by gradient-based early stopping (GradES). {}\n\n",
        counts.components_frozen,
        counts.components_total,
        freezing_sentence(card.summary)
    );
    let mut kinds: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (event, step) in steps.values() {
        kinds.entry(event.kind.name()).or_default().push(*step);
    }
    if kinds.is_empty() {
        return text;
    }
    text.push_str("| kind | frozen | first step | last step |\n|---|---|---|---|\n");
    for (kind, steps) in kinds {
        let (first, last) = (steps.iter().min().unwrap_or(&0), steps.iter().max().unwrap_or(&0));
        let _ = writeln!(text, "| {kind} | {} | {first} | {last} |", steps.len());
    }
    text.push('\n');
    text
}

/// Writes the configuration; of an absolute path, which may name a person, its last part alone.
fn configuration(card: &Card<'_>) -> Result<String> {
    let mut table = Table::try_from(card.config).context("the configuration of the model card")?;
    shorten(&mut table);
    toml::to_string_pretty(&table).context("the configuration of the model card")
}

fn shorten(table: &mut Table) {
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => shorten(inner),
            Value::String(text) if Path::new(text).is_absolute() => {
                *text = Path::new(text)
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
}
