//! The results by class of a classifier, and its confusion matrix.

use super::figure::Figure;
use super::legend::width_of;
use crate::records::{ClassResults, Summary};
use crate::report::svg::{Picture, Size, attribute, count, escape, percent};

/// The most classes of a matrix, and of the list.
const MATRIX: usize = 12;
const LIST: usize = 40;
/// The height of a row.
const ROW: f64 = 24.0;

/// Draws the results on the evaluation data, or else on the test data; `None` without results by class.
pub(crate) fn classes(summary: &Summary) -> Option<Figure> {
    let (results, part) = match (&summary.eval_classes, &summary.test_classes) {
        (Some(results), _) => (results, "evaluation"),
        (None, Some(results)) => (results, "test"),
        (None, None) => return None,
    };
    if results.classes.is_empty() {
        return None;
    }
    let mut caption = format!(
        "Results of the saved model on the {part} data, by class: the share of predictions that are right (precision), the \
         share of examples that were found (recall), and their harmonic mean (F1)."
    );
    let beyond = results.classes.len().saturating_sub(LIST);
    if beyond > 0 {
        caption += &format!(" {beyond} more classes are in summary.json.");
    }
    if matrix_of(results).is_some() {
        caption +=
            " In the matrix each row has the examples of a class by their prediction; the diagonal is right.";
    }
    Some(Figure::draw("classes", "Results by class", caption, Vec::new(), |size| picture(results, size)))
}

/// Returns the confusion matrix, where it is there and small enough to be read.
fn matrix_of(results: &ClassResults) -> Option<&Vec<Vec<u64>>> {
    results.confusion.as_ref().filter(|matrix| matrix.len() <= MATRIX)
}

fn picture(results: &ClassResults, size: Size) -> Picture {
    let shown = results.classes.get(..LIST).unwrap_or(&results.classes);
    let labels: Vec<String> = shown.iter().map(|class| shortened(&class.label, size)).collect();
    let left = labels.iter().map(|label| width_of(label)).fold(60.0, f64::max) + 18.0;
    let list = 30.0 + ROW * shown.len() as f64;
    let matrix = matrix_of(results);
    let height = list + matrix.map_or(8.0, |matrix| 64.0 + 30.0 * matrix.len() as f64);
    let what = format!("{} classes.", results.classes.len());
    let mut picture = Picture::new("classes", size, height, "Precision, recall and F1 by class", what);
    let width = ((size.width() - left - 10.0) / 4.0).min(130.0);
    for (column, name) in ["precision", "recall", "F1", "examples"].into_iter().enumerate() {
        picture.text("sm mu end", (left + width * (column as f64 + 1.0), 18.0), name);
    }
    for (row, (class, label)) in shown.iter().zip(&labels).enumerate() {
        let y = 26.0 + ROW * row as f64;
        picture.line("gr", (0.0, y), (left + 4.0 * width, y));
        picture.text("sm", (4.0, y + 16.0), label);
        let values =
            [percent(class.precision), percent(class.recall), percent(class.f1), count(class.support as f64)];
        for (column, value) in values.iter().enumerate() {
            picture.text("sm end", (left + width * (column as f64 + 1.0), y + 16.0), value);
        }
    }
    if let Some(matrix) = matrix {
        confusion(&mut picture, results, matrix, (list, left), size);
    }
    picture
}

/// Draws the confusion matrix below this place.
fn confusion(
    picture: &mut Picture,
    results: &ClassResults,
    matrix: &[Vec<u64>],
    (top, left): (f64, f64),
    size: Size,
) {
    let width = ((size.width() - left - 10.0) / matrix.len().max(1) as f64).min(90.0);
    picture.text("sm mu", (4.0, top + 22.0), "label ↓   predicted →");
    let top = top + 50.0;
    for (column, class) in results.classes.iter().enumerate() {
        let fitting = ((width / 6.7) as usize).max(2);
        let at = (left + width * (column as f64 + 0.5), top - 7.0);
        picture.text("sm mid", at, &cut(&class.label, fitting));
    }
    for (row, counts) in matrix.iter().enumerate() {
        let y = top + 30.0 * row as f64;
        let label = results.classes.get(row).map_or("", |class| class.label.as_str());
        picture.text("sm end", (left - 8.0, y + 19.0), &shortened(label, size));
        let all: u64 = counts.iter().sum();
        for (column, &number) in counts.iter().enumerate() {
            let predicted = results.classes.get(column).map_or("", |class| class.label.as_str());
            let share = number as f64 / all.max(1) as f64;
            let level = (8.0 * share).round() as usize;
            let title = format!("{label}: {number} of {all} predicted as {predicted}");
            picture.raw(format_args!(
                r#"<g role="img"{}{}><title>{}</title>"#,
                attribute("data-tip", &title),
                attribute("aria-label", &title),
                escape(&title)
            ));
            let x = left + width * column as f64;
            picture.rect(&format!("cell h{level}"), (x, y), (width, 30.0), "");
            let words = number.to_string();
            if width >= 7.0 * words.len() as f64 {
                let class = format!("sm mid {}", if level < 5 { "pale" } else { "deep" });
                picture.text(&class, (x + width / 2.0, y + 19.0), &words);
            }
            picture.raw("</g>");
        }
    }
}

fn shortened(label: &str, size: Size) -> String {
    cut(label, size.of(28, 14))
}

/// Cuts a text to this many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{start}…")
}
