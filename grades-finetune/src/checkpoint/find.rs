//! Finds the newest checkpoint that is complete.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grades_lora::open_regular;

use super::layout::{BEST, FOLDER, OPTIMIZER, PARAMETERS, RUN, name_of};
use super::run_toml::{RunToml, Unusable};
use super::write::steps;
use crate::storage::RunningDigest;

/// A complete checkpoint.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its folder.
    pub(crate) path: PathBuf,
    /// Its `run.toml`.
    pub(crate) run: RunToml,
}

/// The longest `run.toml` that is read; the random number generators take most of one.
const LONGEST: u64 = 1 << 24;

/// Finds the newest complete checkpoint of a run's folder; warns of each newer one that is damaged.
///
/// # Errors
///
/// When the folder cannot be read, or a checkpoint is of a newer version.
pub(crate) fn newest(run: &Path) -> Result<(Option<Found>, Vec<String>)> {
    let folder = run.join(FOLDER);
    let mut warnings = Vec::new();
    let steps = steps(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for step in steps.into_iter().rev() {
        let path = folder.join(name_of(step));
        match read(run, &path, step) {
            Ok(run) => return Ok((Some(Found { path, run }), warnings)),
            Err(Unusable::Newer(version)) => bail!(
                "the checkpoint {} has version {version}; this program reads up to version {}: resume with the one that \
                 wrote it",
                path.display(),
                RunToml::newest_version()
            ),
            Err(Unusable::Damaged(reason)) => {
                warnings.push(format!("the checkpoint {} is damaged and left out: {reason}", path.display()));
            }
        }
    }
    Ok((None, warnings))
}

/// The newest checkpoint of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The newest complete checkpoint: its step and its folder.
    pub checkpoint: Option<(u64, PathBuf)>,
    /// A warning for each newer one that is damaged.
    pub warnings: Vec<String>,
}

/// Finds the newest complete checkpoint of the run in a folder.
///
/// # Errors
///
/// When the folder cannot be read, or a checkpoint is of a newer version.
pub fn newest_checkpoint(run: &Path) -> Result<Newest> {
    let (found, warnings) = newest(run)?;
    Ok(Newest { checkpoint: found.map(|found| (found.run.state.step, found.path)), warnings })
}

/// Returns the step of the newest checkpoint, whether or not it is complete.
///
/// # Errors
///
/// When the folder cannot be read.
pub(crate) fn last_step(run: &Path) -> Result<Option<u64>> {
    let folder = run.join(FOLDER);
    let steps = steps(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(steps.last().copied())
}

/// Reads and checks the checkpoint of a step.
fn read(run: &Path, path: &Path, step: u64) -> Result<RunToml, Unusable> {
    let damaged = |reason: String| Unusable::Damaged(reason);
    let plain = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    if !plain {
        return Err(damaged("it is no folder".to_owned()));
    }
    for name in [RUN, PARAMETERS, OPTIMIZER] {
        let plain = path.join(name).symlink_metadata().map(|metadata| metadata.is_file());
        if !plain.map_err(|error| damaged(format!("{name}: {error}")))? {
            return Err(damaged(format!("{name} is no file")));
        }
    }
    let text = text(&path.join(RUN)).map_err(|error| damaged(format!("{RUN}: {error}")))?;
    let contents = RunToml::from_text(&text).map_err(|error| match error {
        Unusable::Damaged(reason) => Unusable::Damaged(format!("{RUN}: {reason}")),
        newer => newer,
    })?;
    if contents.state.step != step {
        return Err(damaged(format!("{RUN} is that of step {}", contents.state.step)));
    }
    for name in [PARAMETERS, OPTIMIZER] {
        if !contents.files.contains_key(name) {
            return Err(damaged(format!("{RUN} does not list {name}")));
        }
    }
    for (name, digest) in &contents.files {
        if ![PARAMETERS, OPTIMIZER, BEST].contains(&name.as_str()) {
            return Err(damaged(format!("{RUN} lists {name}, which is no part of a checkpoint")));
        }
        digest.check(&path.join(name)).map_err(damaged)?;
    }
    for (name, &counted) in &contents.logs {
        check_log(run, name, counted, contents.log_checksum(name)).map_err(damaged)?;
    }
    Ok(contents)
}

/// Checks that a log still begins with what a checkpoint has counted.
fn check_log(run: &Path, name: &str, counted: u64, checksum: Option<&str>) -> Result<(), String> {
    let path = run.join(name);
    let length = path.symlink_metadata().map_or(0, |metadata| metadata.len());
    if length < counted {
        return Err(format!("{name} has {length} bytes, {counted} when it was written"));
    }
    let Some(checksum) = checksum.filter(|_| counted > 0) else { return Ok(()) };
    let start = open_regular(&path).and_then(|mut file| RunningDigest::of_start(&mut file, counted));
    let start = start.map_err(|error| format!("{name} cannot be read: {error}"))?.digest();
    if (start.bytes(), start.crc32()) == (counted, checksum) {
        return Ok(());
    }
    let found = start.crc32();
    Err(format!(
        "{name} was changed: the checksum of its first {counted} bytes is {found}, {checksum} when it was written"
    ))
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}
