//! A dry run as text.

use std::fmt::Write;

use super::DryRun;
use crate::log::duration;
use crate::records::flop_unit;
use crate::train::room::bytes;

/// The width of the longest bar of a histogram.
const BAR: usize = 40;

/// Writes what a run would do and need.
pub fn dry_run_text(dry: &DryRun) -> String {
    let mut text =
        String::from("Dry run: nothing is written. Two steps were run, for their time and memory.\n\n");
    let mut add = |name: &str, lines: Vec<String>| {
        for (at, line) in lines.iter().enumerate() {
            // Writing into a text does not fail.
            let _ = writeln!(text, "{:<12} {line}", if at == 0 { name } else { "" });
        }
    };
    add("data", dry.data.facts.clone());
    add("tokens", tokens(dry));
    add("components", components(dry));
    add("steps", steps(dry));
    add("FLOPs", vec![flops(dry)]);
    add("memory", memory(dry));
    add("disk", disk(dry));
    add("time", time(dry));
    text
}

fn tokens(dry: &DryRun) -> Vec<String> {
    let most = dry.data.lengths.bins.iter().map(|bin| bin.2).max().unwrap_or(0).max(1);
    let limit = dry.data.max_tokens.map_or_else(String::new, |limit| format!(" at {limit} tokens"));
    let cut = match dry.data.truncated {
        0 => "none is cut".to_owned(),
        cut => format!("{cut} are cut{limit}"),
    };
    let skipped = match dry.data.skipped {
        0 => String::new(),
        skipped => format!("; {skipped} are too long and left out"),
    };
    let mut lines = vec![format!(
        "{} rows, {:.1} tokens in the mean; {cut}{skipped}",
        dry.data.lengths.rows, dry.data.lengths.mean
    )];
    let range =
        |low: usize, high: usize| if low == high { low.to_string() } else { format!("{low}–{high}") };
    let width =
        dry.data.lengths.bins.iter().map(|bin| range(bin.0, bin.1).chars().count()).max().unwrap_or(0);
    for &(low, high, count) in &dry.data.lengths.bins {
        let bar = "█".repeat((count * BAR).div_ceil(most));
        let space = if count > 0 { " " } else { "" };
        lines.push(format!("{:>width$}  {bar}{space}{count}", range(low, high)));
    }
    lines
}

fn components(dry: &DryRun) -> Vec<String> {
    let total: usize = dry.model.components.iter().map(|kind| kind.1).sum();
    let parameters: u64 = dry.model.components.iter().map(|kind| kind.2).sum();
    let mut lines = vec![format!(
        "{total} with {} of {} parameters; {} parameters train",
        large(parameters),
        large(dry.model.parameters),
        large(dry.model.trainable)
    )];
    lines.extend(dry.model.components.iter().map(|(name, count, parameters)| {
        format!("{count:>4} × {name:<10} {} parameters", large(*parameters))
    }));
    lines.push(match &dry.model.freezing {
        Some(freezing) => freezing.clone(),
        None => "nothing freezes: there is no [freezing] table".to_owned(),
    });
    lines
}

fn steps(dry: &DryRun) -> Vec<String> {
    let (batch, accumulation) = (dry.steps.batch_size, dry.steps.accumulation);
    let size = match accumulation {
        1 => format!("{batch} rows each"),
        _ => format!("{accumulation} batches of {batch} rows each"),
    };
    let left = dry.steps.left();
    let left = if dry.steps.done == 0 { String::new() } else { format!("{left} are left of ") };
    let mut lines = vec![format!("{left}{}, {} an epoch, {size}", dry.steps.planned, dry.steps.per_epoch)];
    if dry.steps.processes > 1 {
        lines.push(format!("in {} processes, each with its part of the batches", dry.steps.processes));
    }
    lines
}

fn flops(dry: &DryRun) -> String {
    let (unit, size) = flop_unit(dry.flops);
    let left = dry.steps.left();
    let from = match dry.steps.counted as u64 == left {
        true => String::new(),
        false => format!(", estimated from {} steps", dry.steps.counted),
    };
    format!(
        "{:.3} {unit} in training, before anything {}freezes{from}",
        dry.flops / size,
        if dry.steps.done > 0 { "else " } else { "" }
    )
}

fn memory(dry: &DryRun) -> Vec<String> {
    let memory = &dry.memory;
    if memory.kinds.is_empty() {
        return vec!["not measured: no step is left".to_owned()];
    }
    let mut lines: Vec<String> =
        memory.kinds.iter().map(|(name, count)| format!("{:>10}  {name}", bytes(*count))).collect();
    let total = format!("{:>10}  together on {}", bytes(memory.total()), dry.model.device);
    lines.push(match (memory.program, memory.available) {
        (Some(program), Some(available)) => {
            format!(
                "{total}, beside {} of the program; {} are available besides",
                bytes(program),
                bytes(available)
            )
        }
        _ => format!("{total}, without activations; see nvidia-smi for what is there"),
    });
    lines
}

fn disk(dry: &DryRun) -> Vec<String> {
    let room = dry.disk.room;
    let mut lines = vec![
        format!("{:>10}  model", bytes(room.model)),
        format!("{:>10}  a checkpoint, × {}", bytes(room.checkpoint), room.checkpoints),
        format!("{:>10}  logs and report", bytes(room.logs)),
    ];
    let total = room.total();
    let free = match dry.disk.free {
        Some(free) if free < total => format!("; only {} are free", bytes(free)),
        Some(free) => format!("; {} are free", bytes(free)),
        None => String::new(),
    };
    lines.push(format!("{:>10}  together{free}", bytes(total)));
    lines
}

fn time(dry: &DryRun) -> Vec<String> {
    let left = dry.steps.left();
    let Some((seconds, rate)) = dry.time.step else { return vec!["no step is left".to_owned()] };
    let (unit, size) = flop_unit(rate);
    let training = seconds * left as f64;
    let mut lines = vec![format!(
        "about {} of training: {left} steps of {seconds:.3} s, at {:.1} {unit} a second, before anything freezes",
        duration(training),
        rate / size
    )];
    let count = match dry.time.evaluations {
        1 => "1 evaluation".to_owned(),
        count => format!("{count} evaluations"),
    };
    match dry.time.evaluation {
        Some(Ok(seconds)) => {
            let evaluating = seconds * dry.time.evaluations as f64;
            lines.push(format!("about {} of evaluation: {count} of {seconds:.2} s", duration(evaluating)));
            lines.push(format!("about {} together", duration(training + evaluating)));
        }
        Some(Err(longer)) => lines.push(format!("and {count}, each of more than {longer:.0} s")),
        None => lines.push("no data.eval: nothing is evaluated during the run".to_owned()),
    }
    lines
}

/// Writes a large number in thousands, millions or billions.
fn large(count: u64) -> String {
    match count as f64 {
        count if count >= 1e9 => format!("{:.2} billion", count / 1e9),
        count if count >= 1e6 => format!("{:.1} million", count / 1e6),
        count if count >= 1e4 => format!("{:.0} thousand", count / 1e3),
        count => format!("{count:.0}"),
    }
}
