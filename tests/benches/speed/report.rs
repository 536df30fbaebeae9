//! Rows of figures, as a table and as JSON.

use std::path::Path;

use serde_json::{Value, json};

/// The figures of one part.
pub(crate) struct Report {
    part: &'static str,
    rows: Vec<Value>,
    missed: Vec<String>,
}

/// A figure and what it is of.
pub(crate) type Figure<'a> = (&'a str, f64);

impl Report {
    pub(crate) fn new(part: &'static str) -> Self {
        println!("\n{part}, {} threads", tch::get_num_threads());
        Self { part, rows: Vec::new(), missed: Vec::new() }
    }

    /// A row whose figures are compared by their quotient, which is to be at most `target` where there is one.
    pub(crate) fn row(&mut self, name: &str, ours: f64, other: Figure<'_>, unit: &str, target: Option<f64>) {
        self.ratio(name, ours, other, unit, ours / other.1, target.map(|target| (target, false)));
    }

    /// A row with a ratio of its own; the target is the most, or the least, that it may be.
    pub(crate) fn ratio(
        &mut self,
        name: &str,
        ours: f64,
        other: Figure<'_>,
        unit: &str,
        ratio: f64,
        target: Option<(f64, bool)>,
    ) {
        let holds = target.map(|(target, least)| if least { ratio >= target } else { ratio <= target });
        let words = match target {
            None => String::new(),
            Some((target, least)) => {
                let bound = if least { "at least" } else { "at most" };
                format!("{bound} {target:.3}: {}", if holds == Some(true) { "holds" } else { "MISSED" })
            }
        };
        let against = format!("{} {:.3}", other.0, other.1);
        println!("  {name:<58} {ours:>10.3} {unit:<5} | {against:<38} | {ratio:>6.3} {words}");
        if holds == Some(false) {
            self.missed.push(format!("{}: {name} {ratio:.3}", self.part));
        }
        self.rows.push(json!({
            "name": name,
            "ours": ours,
            "other": against,
            "unit": unit,
            "ratio": ratio,
            "target": target.map(|(target, _)| target),
            "holds": holds,
        }));
    }

    /// Writes the file; what was missed.
    pub(crate) fn finish(self) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}.json", self.part));
        std::fs::write(file, serde_json::to_string_pretty(&self.rows).unwrap() + "\n").unwrap();
        self.missed
    }
}
