//! A run in the terminal: who froze when, why, and what it saved.

use std::fmt::Write;

use grades::tracker::{FreezeEvent, Transition};
use serde_json::{Value, json};

use super::page::outcome;
use super::svg::{count, long_seconds, percent, plain};
use super::view::{Fate, Savings, View};

/// The timeline as text, lines of at most so many characters where that is possible.
pub(crate) fn inspection_text(view: &View<'_>, width: usize) -> String {
    let run = view.run;
    let mut text = String::new();
    // Writing into a string does not fail.
    for line in wrapped(&format!("{}: {}", run.name, outcome(view)), width) {
        let _ = writeln!(text, "{line}");
    }
    if view.fates.is_empty() {
        let _ = writeln!(text, "\nNo component is known: nothing was watched, or no check came yet.");
        return text;
    }
    text.push('\n');
    text += &map(view, width);
    text.push('\n');
    text += &timeline(view, width);
    for line in saved(&view.savings(), view) {
        for line in wrapped(&line, width) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// The step of the freeze, block by kind; in parts where the kinds do not fit side by side.
fn map(view: &View<'_>, width: usize) -> String {
    let mut blocks: Vec<Option<u32>> = view.layers.iter().copied().map(Some).collect();
    if view.fates.iter().any(|fate| fate.component.layer.is_none()) {
        blocks.push(None);
    }
    let head = blocks.iter().map(|block| View::block(*block).len()).max().unwrap_or(1).max("block".len());
    let cell = |role: usize, block: Option<u32>| -> String {
        let here: Vec<&Fate<'_>> =
            view.fates.iter().filter(|fate| fate.role == role && fate.component.layer == block).collect();
        let last = here.iter().filter_map(|fate| fate.frozen.map(|event| event.step)).max();
        match last {
            _ if here.is_empty() => String::new(),
            Some(step) if here.iter().all(|fate| fate.frozen.is_some()) => step.to_string(),
            _ => here
                .iter()
                .filter_map(|fate| fate.cooled)
                .map(|event| format!("~{}", event.step))
                .next_back()
                .unwrap_or_else(|| "·".to_owned()),
        }
    };
    let columns: Vec<(usize, usize)> = (0..view.roles.len())
        .map(|role| {
            let longest = blocks.iter().map(|block| cell(role, *block).chars().count()).max().unwrap_or(0);
            (role, longest.max(view.roles[role].chars().count()))
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
        for (role, longest) in part {
            let _ = write!(text, "  {:>longest$}", view.roles[*role]);
        }
        text.push('\n');
        for block in &blocks {
            let _ = write!(text, "{:>head$}", View::block(*block));
            for (role, longest) in part {
                let _ = write!(text, "  {:>longest$}", cell(*role, *block));
            }
            let trimmed = text.trim_end().len();
            text.truncate(trimmed);
            text.push('\n');
        }
    }
    text
}

/// Each event: when, what, why.
fn timeline(view: &View<'_>, width: usize) -> String {
    let mut text = String::from("Timeline\n");
    if view.run.events.is_empty() {
        text += "nothing cooled, froze or thawed\n";
    }
    let digits = view.run.last_step().max(1).to_string().len();
    for event in &view.run.events {
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
fn saved(savings: &Savings, view: &View<'_>) -> Vec<String> {
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
        let planned = count(view.run.planned_steps() as f64);
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
pub(crate) fn inspection_json(view: &View<'_>) -> Value {
    let run = view.run;
    let Savings { updates, cheaper, fewer_steps, fewer } = view.savings();
    let components: Vec<Value> = view
        .fates
        .iter()
        .map(|fate| {
            json!({
                "name": fate.component.name, "kind": fate.component.kind, "layer": fate.component.layer,
                "parameters": fate.component.parameters, "thaws": fate.thaws,
                "decided": fate.cooled.or(fate.frozen).map(|event| event.step),
                "frozen": fate.frozen.map(|event| event.step),
                "cause": fate.cooled.or(fate.frozen).map(|event| json!({
                    "policy": event.policy, "statistic": event.statistic, "value": event.value, "threshold": event.threshold,
                })),
            })
        })
        .collect();
    json!({
        "run": run.name, "folder": run.folder, "ended": run.summary.as_ref().map(|summary| summary.ended),
        "steps": run.last_step(), "planned_steps": run.planned_steps(),
        "components_frozen": view.frozen(), "components_total": run.components_total(),
        "components": components, "events": run.events,
        "saved": {
            "updates_share": updates, "seconds_by_cheaper_steps": cheaper,
            "steps": fewer_steps, "seconds_by_fewer_steps": fewer,
        },
    })
}
