//! Says in one line what was understood of a data file.

use super::dataset::Dataset;
use super::labels::Labels;
use super::record::Records;

/// Returns one line about the examples of a file: columns, classes with counts, one example, and those that were cut.
///
/// `train.csv: text is column 0 "review", label is column 1 "sentiment" (line 1 is a header); 16 examples: negative 8,
/// positive 8; none is cut; first: "good thing 0" → positive`
pub fn describe(records: &Records, labels: &Labels, dataset: &Dataset) -> String {
    let mut parts = Vec::new();
    if let Some(columns) = &records.columns {
        let header = if records.header { " (line 1 is a header)" } else { "" };
        let text = match &columns.pair {
            Some(pair) => format!("a pair of texts is {} and {pair}", columns.text),
            None => format!("text is {}", columns.text),
        };
        parts.push(format!("{text}, label is {}{header}", columns.label));
    }
    parts.push(format!("{} examples: {}", records.list.len(), classes(labels, dataset)));
    if records.unlabelled > 0 {
        parts.push(format!("{} without a label are left out", records.unlabelled));
    }
    parts.push(match dataset.truncated() {
        0 => "none is cut".to_owned(),
        cut => format!("{cut} are cut"),
    });
    if let Some(first) = records.list.first() {
        let pair = first.pair.as_ref().map_or_else(String::new, |pair| format!(" and {}", quoted(pair)));
        parts.push(format!("first: {}{pair} → {}", quoted(&first.text), first.label.escape_debug()));
    }
    let name = records.path.file_name().unwrap_or_default().to_string_lossy();
    format!("{}: {}", name.escape_debug(), parts.join("; "))
}

/// Returns the classes with the number of their examples.
fn classes(labels: &Labels, dataset: &Dataset) -> String {
    const SHOWN: usize = 10;
    let mut counts = vec![0usize; labels.len()];
    for &label in dataset.labels() {
        if let Some(count) = usize::try_from(label).ok().and_then(|label| counts.get_mut(label)) {
            *count += 1;
        }
    }
    let mut list: Vec<String> = labels
        .names()
        .iter()
        .zip(counts)
        .map(|(name, count)| format!("{} {count}", name.escape_debug()))
        .collect();
    let more = list.len().saturating_sub(SHOWN);
    list.truncate(SHOWN);
    if more > 0 {
        list.push(format!("and {more} more classes"));
    }
    list.join(", ")
}

/// Returns the beginning of a text in quotation marks, with control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_debug())
}
