//! A run in the terminal: who froze when, why, and what it saved.

use std::fmt::Write;

use grades::tracker::{FreezeEvent, Transition};
use serde_json::{Value, json};

use super::analysis::{Analysis, ComponentHistory, Savings};
use super::page::outcome;
use super::svg::{count, long_seconds, percent, plain};

/// The timeline as text, lines of at most so many characters where that is possible.
pub(crate) fn inspection_text(analysis: &Analysis<'_>, width: usize) -> String {
    let run = analysis.run;
    let mut text = String::new();
    // Writing into a string does not fail.
    for line in wrapped(&format!("{}: {}", run.name, outcome(analysis)), width) {
        let _ = writeln!(text, "{line}");
    }
    if analysis.histories.is_empty() {
        let _ = writeln!(text, "\nNo component is known: nothing was watched, or no check came yet.");
        return text;
    }
    text.push('\n');
    text += &map(analysis, width);
    text.push('\n');
    text += &timeline(analysis, width);
    for line in saved(&analysis.savings(), analysis) {
        for line in wrapped(&line, width) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// The step of the freeze, block by kind; in parts where the kinds do not fit side by side.
fn map(analysis: &Analysis<'_>, width: usize) -> String {
    let mut blocks: Vec<Option<u32>> = analysis.layers.iter().copied().map(Some).collect();
    if analysis.histories.iter().any(|history| history.component.layer.is_none()) {
        blocks.push(None);
    }
    let head = blocks.iter().map(|block| Analysis::block(*block).len()).max().unwrap_or(1).max("block".len());
    let cell = |group: usize, block: Option<u32>| -> String {
        let here: Vec<&ComponentHistory<'_>> = analysis
            .histories
            .iter()
            .filter(|history| history.group == group && history.component.layer == block)
            .collect();
        let last = here.iter().filter_map(|history| history.frozen.map(|event| event.step)).max();
        match last {
            _ if here.is_empty() => String::new(),
            Some(step) if here.iter().all(|history| history.frozen.is_some()) => step.to_string(),
            _ => here
                .iter()
                .filter_map(|history| history.cooled)
                .map(|event| format!("~{}", event.step))
                .next_back()
                .unwrap_or_else(|| "·".to_owned()),
        }
    };
    let columns: Vec<(usize, usize)> = (0..analysis.groups.len())
        .map(|group| {
            let longest = blocks.iter().map(|block| cell(group, *block).chars().count()).max().unwrap_or(0);
            (group, longest.max(analysis.groups[group].chars().count()))
        })
        .collect();
    let mut text = String::from("Step of the freeze (~ cools since, · not decided)\n");
    let mut rest = columns.as_slice();
    while !rest.is_empty() {
        let mut used = head;
        let fitting = rest.iter().take_while(|(_, longest)| {
            used += longest + 2;
            used <= width
        });
        let (part, later) = rest.split_at(fitting.count().max(1));
        rest = later;
        let _ = write!(text, "{:>head$}", "block");
        for (group, longest) in part {
            let _ = write!(text, "  {:>longest$}", analysis.groups[*group]);
        }
        text.push('\n');
        for block in &blocks {
            let _ = write!(text, "{:>head$}", Analysis::block(*block));
            for (group, longest) in part {
                let _ = write!(text, "  {:>longest$}", cell(*group, *block));
            }
            let trimmed = text.trim_end().len();
            text.truncate(trimmed);
            text.push('\n');
        }
    }
    text
}

/// Each event: when, what, why.
fn timeline(analysis: &Analysis<'_>, width: usize) -> String {
    let mut text = String::from("Timeline\n");
    if analysis.run.events.is_empty() {
        text += "nothing cooled, froze or thawed\n";
    }
    let digits = analysis.run.last_step().max(1).to_string().len();
    for event in &analysis.run.events {
        let verb = match event.event {
            Transition::Cool => "cools ",
            Transition::Freeze => "froze ",
            Transition::Thaw => "thawed",
            _ => "changed",
        };
        let head = format!("{:>digits$}  {verb}  {}", event.step, event.component);
        let why = why(event);
        if head.chars().count() + 2 + why.chars().count() <= width {
            let _ = writeln!(text, "{head}  {why}");
        } else {
            let _ = writeln!(text, "{head}");
            for line in wrapped(&why, width.saturating_sub(digits + 2).max(12)) {
                let _ = writeln!(text, "{:digits$}  {line}", "");
            }
        }
    }
    text
}

/// What was compared with what.
fn why(event: &FreezeEvent) -> String {
    let value = plain(event.value);
    let threshold = plain(event.threshold);
    match &*event.policy {
        "deadline" => format!("by the deadline: {value} steps left, {threshold} needed to cool"),
        policy => format!("{} {value} against {threshold} ({policy})", event.statistic),
    }
}

/// What freezing saved, a line each.
fn saved(savings: &Savings, analysis: &Analysis<'_>) -> Vec<String> {
    let mut lines = vec![String::new()];
    if let Some(updates) = savings.updates {
        lines.push(format!("Updates of weights not made: {} of all planned.", percent(updates)));
    }
    if let Some(cheaper) = savings.cheaper {
        let (verb, time) = (if cheaper >= 0.0 { "saved" } else { "lost" }, long_seconds(cheaper.abs()));
        lines.push(format!("Cheaper steps: {time} {verb} against the median step before the first freeze."));
    }
    if savings.fewer_steps > 0 {
        let time = savings.fewer.map_or_else(String::new, |time| format!(", about {}", long_seconds(time)));
        let planned = count(analysis.run.planned_steps() as f64);
        lines.push(format!("Fewer steps: {} of {planned} were not needed{time}.", savings.fewer_steps));
    }
    lines
}

/// Breaks a text between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut();
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The same as one JSON object.
pub(crate) fn inspection_json(analysis: &Analysis<'_>) -> Value {
    let run = analysis.run;
    let Savings { updates, cheaper, fewer_steps, fewer } = analysis.savings();
    let components: Vec<Value> = analysis
        .histories
        .iter()
        .map(|history| {
            json!({
                "name": history.component.name, "kind": history.component.kind, "layer": history.component.layer,
                "parameters": history.component.parameters, "thaws": history.thaws,
                "decided": history.cooled.or(history.frozen).map(|event| event.step),
                "frozen": history.frozen.map(|event| event.step),
                "cause": history.cooled.or(history.frozen).map(|event| json!({
                    "policy": event.policy, "statistic": event.statistic, "value": event.value, "threshold": event.threshold,
                })),
            })
        })
        .collect();
    json!({
        "run": run.name, "folder": run.folder, "ended": run.summary.as_ref().map(|summary| summary.ended),
        "steps": run.last_step(), "planned_steps": run.planned_steps(),
        "components_frozen": analysis.frozen(), "components_total": run.components_total(),
        "components": components, "events": run.events,
        "saved": {
            "updates_share": updates, "seconds_by_cheaper_steps": cheaper,
            "steps": fewer_steps, "seconds_by_fewer_steps": fewer,
        },
    })
}
