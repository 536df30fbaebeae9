//! The table that a run ends with.

use std::fmt::Write;
use std::path::Path;

use super::progress::duration;
use crate::records::{FlopCounts, Summary, flop_unit};

/// Writes the result of a run, whose folder this is, as a table for the terminal.
pub fn summary_table(summary: &Summary, folder: &Path) -> String {
    let Summary { time, steps, freezing, data, memory, .. } = summary;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let frozen_at = freezing.first_freeze.zip(freezing.last_freeze);
    let mebibytes = |bytes: Option<u64>| or_dash(bytes.map(|bytes| format!("{} MiB", bytes >> 20)));
    let restored =
        summary.best.restored_step.map_or_else(String::new, |step| format!(" (weights of step {step})"));
    let rows = [
        ("ended", summary.ended.words() + &restored),
        ("steps", format!("{} of {} planned", steps.steps, steps.planned_steps)),
        ("components frozen", format!("{} of {}", freezing.components_frozen, freezing.components_total)),
        ("frozen at steps", or_dash(frozen_at.map(|(first, last)| format!("{first} to {last}")))),
        ("train loss", or_dash(summary.final_train_loss.map(|loss| format!("{loss:.4}")))),
        ("eval", or_dash(summary.eval.text())),
        ("test", or_dash(summary.test.text())),
        ("examples a second", format!("{:.1}", data.examples_per_second)),
        ("FLOPs in training", flops(&summary.flops)),
        ("training time", duration(time.train_seconds)),
        ("evaluation time", duration(time.eval_seconds)),
        ("wall time", duration(time.wall_seconds)),
        ("peak memory", mebibytes(memory.peak_memory_bytes)),
        ("optimizer state at the end", mebibytes(memory.optimizer_state_bytes)),
        ("activation cache", or_dash(cache(summary))),
        ("device", summary.device.clone()),
        ("results", folder.display().to_string()),
    ];
    let counts =
        [("bad steps", steps.bad_steps), ("loss spikes", steps.loss_spikes), ("resumed", steps.resumes)];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let counts = counts.map(|(name, count)| (name, count.to_string()));
    let speed = data.tokens_per_second.map(|speed| ("tokens a second", format!("{speed:.0}")));
    let mut table = String::new();
    for (name, value) in rows.into_iter().chain(counts).chain(speed) {
        // Writing into a text does not fail.
        let _ = writeln!(table, "{name:<27} {value}");
    }
    table
}

/// Writes the size of the activation cache and what it saved; `None` where nothing was stored.
fn cache(summary: &Summary) -> Option<String> {
    let Summary { memory, flops, .. } = summary;
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let (own, file) = (mebibytes(memory.cache_memory_bytes), mebibytes(memory.cache_file_bytes));
    let (unit, size) = flop_unit(flops.cache_flops as f64);
    let saved = format!("saved {:.3} {unit}", flops.cache_flops as f64 / size);
    match (own, file) {
        (0, 0) => None,
        (_, 0) => Some(format!("{own} MiB of memory, {saved}")),
        _ => Some(format!("{own} MiB of memory and {file} MiB of disk, {saved}")),
    }
}

/// Writes the FLOPs and the share of them that freezing removed.
fn flops(counts: &FlopCounts) -> String {
    let flops = counts.flops as f64;
    let saved = 1.0 - flops / (counts.flops_without_freezing as f64).max(1.0);
    let saved =
        if saved > 0.0 { format!(", {:.1} % less by freezing", 100.0 * saved) } else { String::new() };
    let (unit, size) = flop_unit(flops);
    format!("{:.3} {unit}{saved}", flops / size)
}
