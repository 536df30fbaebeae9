//! A run's page.

use anyhow::Result;
use toml::{Table, Value};

use super::template::{Filters, Key, Page, PageTable, Row, render};
use crate::records::{Scores, Summary};
use crate::report::analysis::Analysis;
use crate::report::pictures::Figure;
use crate::report::read::RunData;
use crate::report::svg::{bytes, count, flops as flops_text, long_seconds, percent, plain};

/// Writes the page of one run.
pub(crate) fn run_page(run: &RunData, figures: &[Figure]) -> Result<String> {
    let analysis = Analysis::new(run);
    let config = run.table();
    let text = |table: &str, key: &str| -> Option<String> {
        let value = config.get(table)?.get(key)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let file = |path: Option<String>| path.map(|path| path.rsplit('/').next().unwrap_or_default().to_owned());
    let model = file(text("model", "path")).unwrap_or_else(|| "a model".to_owned());
    let data = file(text("data", "train")).unwrap_or_else(|| "its data".to_owned());
    let way = if config.contains_key("lora") { "LoRA adapters of " } else { "" };
    let page = Page {
        title: format!("{} – finetune", run.name),
        over: "Training run",
        heading: run.name.clone(),
        sentence: format!("Trained {way}{model} on {data}: {}", outcome(&analysis)),
        keys: keys(&analysis),
        filters: Filters {
            groups: if figures.iter().any(|figure| figure.name == "heat-map") {
                analysis.groups.clone()
            } else {
                Vec::new()
            },
            groups_name: "Kind",
            layers: blocks(&analysis),
        },
        notes: notes(&analysis, &config),
        table: PageTable {
            table_title: "Configuration",
            columns: vec!["key".to_owned(), "value".to_owned()],
            rows: settings(&config),
        },
        config: run.config.clone(),
        command: String::new(),
    };
    render(&page, figures)
}

/// Says in one sentence how the run ended.
pub(crate) fn outcome(analysis: &Analysis<'_>) -> String {
    let run = analysis.run;
    let (steps, planned) = (run.last_step(), run.planned_steps());
    let total = run.components_total();
    let frozen = analysis.frozen();
    let whole = match run.summary.as_ref().map(|summary| summary.ended) {
        Some(ended) => ended.sentence((steps, planned), (frozen, total)),
        None => format!("it has not ended; {steps} steps so far, {frozen} of {total} components frozen"),
    };
    let scores = run
        .summary
        .iter()
        .flat_map(|summary| [(summary.eval, "on the evaluation data"), (summary.test, "on the test data")]);
    let reached = scores.into_iter().find_map(|(scores, part)| {
        let accuracy = scores.accuracy.map(|value| format!("accuracy {} {part}", percent(value)));
        accuracy.or_else(|| scores.loss.map(|value| format!("loss {} {part}", plain(value))))
    });
    match reached {
        Some(reached) => format!("{whole}, with {reached}."),
        None => format!("{whole}."),
    }
}

fn keys(analysis: &Analysis<'_>) -> Vec<Key> {
    let run = analysis.run;
    let mut keys = Vec::new();
    let mut add = |name, value: Option<String>, note: String| {
        if let Some(value) = value {
            keys.push(Key { name, value, note });
        }
    };
    let steps = run.last_step();
    let planned = run.planned_steps();
    add("steps", Some(count(steps as f64)), format!("of {} planned", count(planned as f64)));
    if run.components_total() > 0 {
        let share = analysis.frozen() as f64 / run.components_total() as f64;
        let range = analysis
            .freeze_range()
            .map_or_else(|| "none".to_owned(), |(first, last)| format!("steps {first} to {last}"));
        add("frozen", Some(percent(share)), range);
    }
    let summary = run.summary.as_ref();
    let scores = |of: fn(&Summary) -> Scores| summary.map(of).unwrap_or_default();
    let (eval, test) = (scores(|summary| summary.eval), scores(|summary| summary.test));
    for (name, scores) in [("eval accuracy", eval), ("test accuracy", test)] {
        let loss = scores.loss.map_or_else(String::new, |loss| format!("loss {}", plain(loss)));
        add(name, scores.accuracy.map(percent), loss);
    }
    if eval.accuracy.is_none() {
        add("eval loss", eval.loss.map(plain), String::new());
    }
    let known = |seconds: f64| Some(seconds).filter(|seconds| *seconds > 0.0);
    let train = summary.and_then(|summary| known(summary.time.train_seconds));
    let train = train.or(run.steps.last().map(|line| line.work.seconds));
    let wall = summary.and_then(|summary| known(summary.time.wall_seconds));
    let wall = wall.map_or_else(String::new, |wall| format!("{} wall time", long_seconds(wall)));
    add("training time", train.map(long_seconds), wall);
    let savings = analysis.savings();
    if analysis.frozen() > 0 {
        add("updates not made", savings.updates.map(percent), "of all planned".to_owned());
    }
    let peak = summary.and_then(|summary| summary.memory.peak_memory_bytes);
    add("peak memory", peak.map(|peak| bytes(peak as f64)), "of the process".to_owned());
    if let Some(summary) = summary.filter(|summary| summary.flops.flops > 0) {
        let flops = summary.flops.flops as f64;
        let saved = summary.flops_saved().filter(|saved| *saved > 0.0);
        let note = saved.map_or_else(String::new, |saved| {
            format!("{} less by freezing", percent(saved / (flops + saved)))
        });
        add("FLOPs", Some(flops_text(flops)), note);
    }
    keys
}

fn blocks(analysis: &Analysis<'_>) -> Vec<String> {
    let mut blocks: Vec<String> = analysis.layers.iter().map(u32::to_string).collect();
    if analysis.histories.iter().any(|history| history.component.layer.is_none()) {
        blocks.push("–".to_owned());
    }
    if blocks.len() > 1 { blocks } else { Vec::new() }
}

/// Lists the caveats that come before the pictures.
fn notes(analysis: &Analysis<'_>, config: &Table) -> Vec<String> {
    let run = analysis.run;
    let mut notes = Vec::new();
    if run.summary.is_none() {
        notes.push(
            "There is no summary.json: the run goes on, or was cut short. This shows what it left so far."
                .to_owned(),
        );
    }
    if run.steps.is_empty() {
        notes.push("No step has been logged, so there is nothing to draw.".to_owned());
    } else if !config.contains_key("freezing") {
        notes.push("The run has no [freezing] table, so nothing was watched and nothing froze.".to_owned());
    } else if run.panels.is_empty() {
        notes.push(
            "No statistics were logged: either no check came, or an older version wrote this run.".to_owned(),
        );
    } else if run.events.is_empty() {
        notes.push(
            "No component froze. The statistics below show how far each was from its threshold.".to_owned(),
        );
    }
    if let Some(reason) = analysis.why_little() {
        notes.push(format!("{}.", capitalized(&reason)));
    }
    let bad = run.steps.iter().filter(|line| !line.loss.is_finite()).count();
    if bad > 0 {
        notes.push(format!("{bad} of {} losses were not finite.", run.steps.len()));
    }
    notes
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Lists the configuration as rows of key and value.
fn settings(table: &Table) -> Vec<Row> {
    let mut rows = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                rows.push(Row { cells: vec![format!("[{key}]"), String::new()], strong: true });
                flatten("", inner, &mut rows);
            }
            other => rows.push(Row { cells: vec![key.clone(), plain_value(other)], strong: false }),
        }
    }
    rows
}

fn flatten(prefix: &str, table: &Table, rows: &mut Vec<Row>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) if !inner.is_empty() => flatten(&name, inner, rows),
            other => rows.push(Row { cells: vec![name, plain_value(other)], strong: false }),
        }
    }
}

fn plain_value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
