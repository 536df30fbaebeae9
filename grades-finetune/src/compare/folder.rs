//! The folder of a comparison: what is in it, and whether it may go on there.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use toml::{Table, Value};

use crate::run::model_inputs;
use crate::storage::{Lock, fingerprint, write_atomic};

/// The file that marks a folder as a comparison's: the checksums of all inputs.
const INPUTS: &str = "inputs.json";

/// The folder of a comparison.
pub(super) struct ComparisonFolder {
    path: PathBuf,
    /// Held for as long as the comparison goes on: another one would remove the runs of this one.
    _lock: Lock,
}

impl ComparisonFolder {
    /// Makes the folder, or opens one that an earlier start made with the same files.
    pub(super) fn open(path: PathBuf, inputs: &BTreeMap<String, String>) -> Result<Self> {
        let marker = path.join(INPUTS);
        let begun = match grades_lora::read_regular(&marker) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", marker.display())),
        };
        if begun.is_none() {
            if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
                bail!("the folder {} exists and is no comparison's; choose another --name", path.display());
            }
            make(&path)?;
        }
        let lock =
            Lock::acquire(&path).with_context(|| format!("cannot open the folder {}", path.display()))?;
        let Some(lock) = lock else {
            bail!("another process is at the comparison in {}; it must end first", path.display());
        };
        let folder = Self { path, _lock: lock };
        match begun {
            Some(text) => folder.check_inputs(&text, inputs)?,
            None => folder.write(INPUTS, &(serde_json::to_string_pretty(inputs)? + "\n"))?,
        }
        ["configs", "logs", "runs"].iter().try_for_each(|part| make(&folder.file(part)))?;
        Ok(folder)
    }

    /// Refuses other files than those that the comparison was begun with.
    fn check_inputs(&self, before: &[u8], inputs: &BTreeMap<String, String>) -> Result<()> {
        let before: BTreeMap<String, String> = serde_json::from_slice(before)
            .with_context(|| format!("{} is damaged", self.file(INPUTS).display()))?;
        let changed = |name: &str, sum: &String| before.get(name).is_some_and(|before| before != sum);
        match inputs.iter().find(|(name, sum)| changed(name, sum)) {
            None => Ok(()),
            Some((name, _)) => bail!(
                "{name} is not what the comparison in {} was begun with; choose another --name, or remove that folder",
                self.path.display()
            ),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn config(&self, run: &str) -> PathBuf {
        self.file("configs").join(format!("{run}.toml"))
    }

    pub(super) fn log(&self, run: &str) -> PathBuf {
        self.file("logs").join(format!("{run}.log"))
    }

    pub(super) fn run(&self, run: &str) -> PathBuf {
        self.file("runs").join(run)
    }

    /// Refuses a run that an earlier start had with another configuration.
    pub(super) fn check(&self, run: &str, table: &Table) -> Result<()> {
        let path = self.config(run);
        let Ok(text) = grades_lora::read_regular_text(&path) else { return Ok(()) };
        let before: Table = text.parse().with_context(|| format!("{} is damaged", path.display()))?;
        let Some((key, old, new)) = difference("", &before, table) else { return Ok(()) };
        let word = |value: Option<String>| value.unwrap_or_else(|| "absent".to_owned());
        bail!(
            "run {run} of the comparison in {} was made with another configuration: {key} was {}, now it is {}; choose \
             another --name, or remove that folder",
            self.path.display(),
            word(old),
            word(new)
        )
    }

    /// Writes the configuration of a run.
    pub(super) fn write_config(&self, run: &str, table: &Table) -> Result<()> {
        let text = toml::to_string_pretty(table).context("writing a configuration")?;
        self.write(&format!("configs/{run}.toml"), &text)
    }

    /// Removes what a run that did not end has left.
    pub(super) fn clear(&self, run: &str) -> Result<()> {
        let path = self.run(run);
        match fs::remove_dir_all(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
        }
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        write_atomic(&self.file(name), text.as_bytes()).map_err(|error| anyhow!("cannot write {error}"))
    }
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Finds the first key in which two configurations differ, with what it was and is.
fn difference(path: &str, before: &Table, now: &Table) -> Option<(String, Option<String>, Option<String>)> {
    let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().find_map(|key| {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (before.get(key), now.get(key)) {
            (Some(Value::Table(before)), Some(Value::Table(now))) => difference(&name, before, now),
            (old, new) if old == new => None,
            (old, new) => Some((name, old.map(ToString::to_string), new.map(ToString::to_string))),
        }
    })
}

/// Computes the checksums of the files that all runs read.
pub(super) fn inputs(base: &Table) -> Result<BTreeMap<String, String>> {
    let text = |table: &str, key: &str| {
        base.get(table).and_then(|table| table.get(key)).and_then(Value::as_str).map(PathBuf::from)
    };
    let mut sums = model_inputs(&text("model", "path").unwrap_or_default())?;
    for key in ["train", "eval", "test"] {
        let Some(path) = text("data", key) else { continue };
        let sum =
            fingerprint(&path).with_context(|| format!("data.{key}: cannot read {}", path.display()))?;
        sums.insert(format!("data.{key}"), sum);
    }
    Ok(sums)
}
