//! A run in the terminal: who froze when, why, and what it saved.

use std::fmt::Write;

use serde_json::{Value, json};

use super::analysis::{Analysis, ComponentHistory, Savings};
use super::page::outcome;
use super::svg::{count, long_seconds, percent};
use super::timeline::entries;
use crate::records::freezing_sentence;

/// Writes the timeline as text, in lines of at most `width` characters where that is possible.
///
/// With `each`, every event has a line of its own.
pub(crate) fn inspection_text(analysis: &Analysis<'_>, width: usize, each: bool) -> String {
    let run = analysis.run;
    let mut text = String::new();
    // Writing into a string does not fail.
    for line in wrapped(&format!("{}: {}", run.name, outcome(analysis)), width) {
        let _ = writeln!(text, "{line}");
    }
    for line in analysis.why_little().iter().flat_map(|reason| wrapped(&format!("{reason}."), width)) {
        let _ = writeln!(text, "{line}");
    }
    if analysis.histories.is_empty() {
        let _ = writeln!(text, "\nNo component is known: nothing was watched, or no check came yet.");
        return text;
    }
    text.push('\n');
    text += &map(analysis, width);
    text.push('\n');
    text += &timeline(analysis, width, each);
    for line in saved(&analysis.savings(), analysis) {
        for line in wrapped(&line, width) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// Writes the step of the freeze, block by kind; in parts where the kinds do not fit side by side.
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

/// Writes what happened: when, what, why; what happened together for one reason is one line, unless `each` is set.
fn timeline(analysis: &Analysis<'_>, width: usize, each: bool) -> String {
    let mut text = String::from("Timeline\n");
    if analysis.run.events.is_empty() {
        text += "nothing cooled, froze or thawed\n";
    }
    let digits = analysis.run.last_step().max(1).to_string().len();
    for entry in entries(&analysis.run.events, each) {
        let event = entry.event();
        let (what, why) = (entry.what(), entry.why());
        let head = format!("{:>digits$}  {what}", event.step);
        let gap = if entry.events.len() > 1 { " " } else { "  " };
        if head.chars().count() + gap.len() + why.chars().count() <= width {
            let _ = writeln!(text, "{head}{gap}{why}");
        } else {
            let _ = writeln!(text, "{head}");
            for line in wrapped(&why, width.saturating_sub(digits + 2).max(12)) {
                let _ = writeln!(text, "{:digits$}  {line}", "");
            }
        }
    }
    text
}

/// Lists the savings by freezing.
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
    let summary = analysis.run.summary.as_ref().filter(|summary| summary.freezing.first_freeze.is_some());
    lines.extend(summary.map(freezing_sentence));
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

/// Writes the same as one JSON object.
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

#[cfg(test)]
mod tests {
    use grades::component::ComponentKind;
    use grades::policy::Measure;
    use grades::statistic::Statistic;
    use grades::tracker::{FreezeEvent, Transition};

    use super::*;
    use crate::report::analysis::DEADLINE;
    use crate::report::read::RunData;

    fn event(event: Transition, step: u64, component: &str, policy: &'static str) -> FreezeEvent {
        let deadline = policy == DEADLINE;
        let statistic = Measure::Statistic(Statistic::SignalFraction);
        FreezeEvent {
            event,
            step,
            component: component.to_owned(),
            kind: ComponentKind::Query,
            layer: Some(0),
            statistic: if deadline { Measure::StepsLeft } else { statistic },
            value: if deadline { 30.0 } else { 0.004 },
            threshold: if deadline { 31.0 } else { 0.005 },
            policy: policy.into(),
            parameters: 1,
            index: 0,
        }
    }

    #[test]
    fn what_happens_together_for_one_reason_is_one_line() {
        let own = "signal-fraction";
        let events = vec![
            event(Transition::Cool, 28, "a", own),
            event(Transition::Cool, 30, "b", DEADLINE),
            event(Transition::Cool, 30, "c", DEADLINE),
            event(Transition::Freeze, 58, "a", own),
            event(Transition::Freeze, 60, "b", DEADLINE),
            event(Transition::Freeze, 60, "c", DEADLINE),
            event(Transition::Freeze, 62, "d", own),
            event(Transition::Freeze, 62, "e", "quota"),
            FreezeEvent { value: 0.003, ..event(Transition::Freeze, 62, "f", own) },
        ];
        let run = RunData {
            folder: "run".into(),
            name: "run".to_owned(),
            config: String::new(),
            components: Vec::new(),
            steps: Vec::new(),
            events,
            panels: Vec::new(),
            evaluations: Vec::new(),
            summary: None,
        };
        let text = timeline(&Analysis::new(&run), 100, false);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "Timeline",
                "28  cools   a  signal-fraction 0.004 against 0.005",
                "30  2 components cool by the deadline (30 steps left)",
                "58  froze   a  as decided at step 28",
                "60  2 components froze as decided at step 30",
                "62  2 components froze signal-fraction 0.003 to 0.004 against 0.005",
                "62  froze   e  signal-fraction 0.004 against 0.005 (quota)",
            ]
        );
        let each = timeline(&Analysis::new(&run), 100, true);
        assert_eq!(each.lines().count(), 10, "{each}");
    }
}
