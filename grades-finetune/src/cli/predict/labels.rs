//! Predicts labels.

use anyhow::{Result, bail};
use grades_models::bert::LoadOptions;
use serde_json::{Map, Value};

use super::lines::{Lines, cell};
use super::{Arguments, OutputFormat};
use crate::cli::output::tell;
use crate::data::Record;
use crate::predict::{Classifier, ClassifierOptions, ModelFiles, Prediction, load_classifier};

/// Texts in a forward pass unless the user gives another number.
const BATCH: u16 = 32;

pub(super) fn run(arguments: &Arguments, files: &ModelFiles) -> Result<()> {
    let foreign = if arguments.chat { Some("--chat") } else { arguments.answers.first_given() };
    if let Some(name) = foreign {
        bail!("{name} is for decoders; {} is a classifier", files.base.display());
    }
    let mut texts = arguments.open(files, false)?;
    let options = LoadOptions {
        device: arguments.device.device()?,
        dtype: arguments.dtype.kind(),
        ..LoadOptions::default()
    };
    let model = load_classifier(files, options)?;
    let options = ClassifierOptions {
        max_tokens: arguments.max_tokens,
        batch_size: arguments.batch_size.unwrap_or(BATCH).into(),
        ..ClassifierOptions::default()
    };
    let mut classifier = Classifier::new(model, files, options)?;
    let labels = classifier.labels().to_vec();
    let mut out = Lines::open();
    let format = arguments.format.unwrap_or(OutputFormat::Tsv);
    if format == OutputFormat::Tsv {
        let cells = std::iter::once("label").chain(labels.iter().map(String::as_str)).map(cell);
        out.row(&cells.collect::<Vec<_>>().join("\t"))?;
    }
    let mut receive = |text: &Record, prediction: &Prediction| match format {
        OutputFormat::Text => out.text(labels.get(prediction.label).map(String::as_str).unwrap_or_default()),
        OutputFormat::Tsv => out.row(&tsv(prediction, &labels)),
        OutputFormat::Jsonl => out.row(&jsonl(text, prediction, &labels)?),
    };
    let done = classifier.predict_all(&mut texts, &mut receive);
    // What was predicted before an error is written.
    let written = out.finish();
    if classifier.truncated() > 0 {
        tell(&format!("{} texts were cut to the longest sequence of the model", classifier.truncated()));
    }
    done?;
    written
}

fn tsv(prediction: &Prediction, labels: &[String]) -> String {
    let mut line = labels.get(prediction.label).map(|label| cell(label)).unwrap_or_default();
    for probability in &prediction.probabilities {
        line.push('\t');
        line += &probability.to_string();
    }
    line
}

fn jsonl(text: &Record, prediction: &Prediction, labels: &[String]) -> Result<String> {
    let mut object = Map::new();
    object.insert("text".to_owned(), text.text.clone().into());
    if let Some(pair) = &text.pair {
        object.insert("text_pair".to_owned(), pair.clone().into());
    }
    object.insert("label".to_owned(), labels.get(prediction.label).cloned().into());
    let probabilities = labels.iter().zip(&prediction.probabilities);
    // As f32, whose shortest text is the value.
    let probabilities = probabilities.map(|(label, value)| (label.clone(), shortest(*value)));
    object.insert("probabilities".to_owned(), Value::Object(probabilities.collect()));
    Ok(serde_json::to_string(&object)?)
}

/// Returns a JSON number of the fewest digits that are this f32.
fn shortest(value: f32) -> Value {
    serde_json::from_str(&value.to_string()).unwrap_or(Value::Null)
}
