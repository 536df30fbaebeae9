//! The variants of a comparison: each is the common configuration with changes of its own. They are the rows of its
//! tables.

use std::path::PathBuf;

use anyhow::{Result, bail};
use toml::{Table, Value};

use crate::config::{Document, RunConfig};

/// The variant that the others are compared with.
pub(super) const BASELINE: &str = "full";

/// The built-in variants: name, label and share of the steps.
const BUILT_IN: [(&str, &str, f64); 11] = [
    (BASELINE, "full", 1.0),
    ("full-es", "full + early stopping", 1.0),
    ("full-grades", "full + GradES", 1.0),
    ("lora", "LoRA", 1.0),
    ("lora-es", "LoRA + early stopping", 1.0),
    ("lora-grades", "LoRA + GradES", 1.0),
    ("full-third", "full, a third of the steps", 1.0 / 3.0),
    ("full-half", "full, half of the steps", 0.5),
    ("full-quarter", "full, a quarter of the steps", 0.25),
    ("full-two-thirds", "full, two thirds of the steps", 2.0 / 3.0),
    ("full-four-fifths", "full, four fifths of the steps", 0.8),
];

/// The number of built-in variants that are compared unless others are named: the first.
const USUAL: usize = 8;

/// The tables in which variants differ.
const OWN: [&str; 5] = ["freezing", "lora", "early_stopping", "compare", "output"];

/// The learning rate of adapters, as a multiple of that of the whole model.
const LORA_RATE: f64 = 10.0;

/// A way to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its short name, which its runs' folders begin with.
    pub name: String,
    /// Its name for readers.
    pub label: String,
    /// Its configuration, without a seed and a folder.
    pub table: Table,
    /// Its share of the baseline's steps, at most.
    pub share: f64,
}

impl Variant {
    /// Returns whether evaluations end its runs, so that they are part of the cost.
    pub fn validates(&self) -> bool {
        self.table.contains_key("early_stopping")
    }

    /// Returns whether its runs train adapters.
    pub fn adapts(&self) -> bool {
        self.table.contains_key("lora")
    }

    /// Returns whether its runs freeze.
    pub fn freezes(&self) -> bool {
        self.table.contains_key("freezing")
    }
}

/// Makes the variants of a base configuration: the built-in ones that `names` lists, or the usual ones, and one for each file
/// of `others`.
///
/// The built-in variants take the base's tables `[freezing]`, `[early_stopping]` and `[lora]`, or the defaults where it has
/// none. Variants that freeze choose their schedule themselves; the others' is the base's if that is `linear` or `cosine`,
/// else `linear`. A file of `others` overrides keys of the variant `full`.
///
/// # Errors
///
/// For an unknown name, a file that cannot be read, has another model or other data, or has the name of another variant,
/// and for a variant whose configuration is wrong.
pub fn variants(
    base: &Table,
    names: Option<&[String]>,
    lora_lr: Option<f64>,
    others: &[PathBuf],
) -> Result<Vec<Variant>> {
    let known = BUILT_IN.map(|(name, ..)| name);
    let names: Vec<&str> = match names {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => known.into_iter().take(USUAL).collect(),
    };
    let mut variants: Vec<Variant> = Vec::new();
    for name in names {
        let Some((name, label, share)) = BUILT_IN.iter().find(|(known, ..)| *known == name) else {
            let near =
                grades::schema::nearest(name, known).map(|near| format!(" (did you mean \"{near}\"?)"));
            bail!("there is no row \"{name}\"{}; rows: {}", near.unwrap_or_default(), known.join(", "));
        };
        let table = built_in(base, name, *share, lora_lr)?;
        variants.push(Variant { name: (*name).to_owned(), label: (*label).to_owned(), table, share: *share });
    }
    for path in others {
        variants.push(other(base, path)?);
    }
    for (index, variant) in variants.iter().enumerate() {
        if variants.iter().take(index).any(|before| before.name == variant.name) {
            bail!("two rows are called \"{}\"; each needs a name of its own", variant.name);
        }
        if let Err(error) = RunConfig::read(&variant.table) {
            bail!("row {}: {error}", variant.name);
        }
    }
    if variants.is_empty() {
        bail!("there is no row to compare; rows: {}", known.join(", "));
    }
    Ok(variants)
}

/// Returns the configuration that all variants share.
fn common(base: &Table) -> Result<Table> {
    let mut document = Document::from(base.clone());
    for key in OWN {
        document.remove(key);
    }
    let given = base.get("schedule").and_then(|schedule| schedule.get("name")).and_then(Value::as_str);
    document
        .put("schedule.name", given.filter(|name| ["linear", "cosine"].contains(name)).unwrap_or("linear"))?;
    let interval = base.get("training").and_then(|training| training.get("eval_every"));
    if interval.is_none() && base.get("data").is_some_and(|data| data.get("eval").is_some()) {
        document.put("training.eval_every", 0.1)?;
    }
    Ok(document.table().clone())
}

fn built_in(base: &Table, name: &str, share: f64, lora_lr: Option<f64>) -> Result<Table> {
    let mut document = Document::from(common(base)?);
    let own = |key: &str| base.get(key).cloned().unwrap_or_else(|| Value::Table(Table::new()));
    if name.ends_with("-es") {
        document.put("early_stopping", own("early_stopping"))?;
    }
    if name.ends_with("-grades") {
        document.put("freezing", own("freezing"))?;
        document.take("schedule", "name");
    }
    if name.starts_with("lora") {
        document.put("lora", own("lora"))?;
        let rate = base.get("optimizer").and_then(|optimizer| optimizer.get("lr"));
        let rate =
            rate.and_then(|rate| rate.as_float().or_else(|| rate.as_integer().map(|rate| rate as f64)));
        if let Some(rate) = lora_lr.or(rate.map(|rate| LORA_RATE * rate)) {
            document.put("optimizer.lr", rate)?;
        }
    }
    if share < 1.0 {
        let given = base.get("training").and_then(|training| training.get("step_fraction"));
        document.put("training.step_fraction", share * given.and_then(Value::as_float).unwrap_or(1.0))?;
    }
    Ok(document.table().clone())
}

/// Makes the variant of a file, which has the file's name.
fn other(base: &Table, path: &std::path::Path) -> Result<Variant> {
    let mut own = Document::read(path)?;
    own.rename_old_keys();
    let mut own = own.table().clone();
    for key in ["output", "compare"] {
        own.remove(key);
    }
    for key in ["model", "data"] {
        if let Some(Value::Table(table)) = own.get(key) {
            let base = base.get(key).and_then(Value::as_table);
            let same = |name: &String, value: &Value| base.and_then(|base| base.get(name)) == Some(value);
            if let Some((name, _)) = table.iter().find(|(name, value)| !same(name, value)) {
                bail!(
                    "{}: {key}.{name} is not what the comparison has; all rows have the same model and data",
                    path.display()
                );
            }
        }
    }
    let mut table = common(base)?;
    let chooses = own.contains_key("freezing") && own.get("schedule").and_then(|s| s.get("name")).is_none();
    override_keys(&mut table, &own);
    let mut document = Document::from(table);
    if chooses {
        document.take("schedule", "name");
    }
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Variant { label: name.clone(), name, table: document.table().clone(), share: 1.0 })
}

/// Overrides the values of one table by those of another, key by key.
fn override_keys(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => override_keys(inner, over),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}
