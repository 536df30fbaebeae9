//! Finding the newest checkpoint that is whole.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::state::{RunState, Unfit};
use super::write::steps;
use super::{BEST, FOLDER, LOGS, OPTIMIZER, PARAMETERS, RUN, name_of};

/// A whole checkpoint.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) state: RunState,
}

/// No `run.toml` is longer; the state of random numbers makes most of it.
const LONGEST: u64 = 1 << 24;

/// The newest whole checkpoint of a run's folder, and a warning for each newer one that is damaged.
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
            Ok(state) => return Ok((Some(Found { path, state }), warnings)),
            Err(Unfit::Newer(version)) => bail!(
                "the checkpoint {} has version {version}; this program reads up to version {}: resume with the one that \
                 wrote it",
                path.display(),
                RunState::newest_version()
            ),
            Err(Unfit::Damaged(reason)) => {
                warnings.push(format!("the checkpoint {} is damaged and left out: {reason}", path.display()));
            }
        }
    }
    Ok((None, warnings))
}

/// What a look for checkpoints has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// The newest whole checkpoint: its step and its folder.
    pub checkpoint: Option<(u64, PathBuf)>,
    /// A warning for each newer one that is damaged.
    pub warnings: Vec<String>,
}

/// Looks for the newest whole checkpoint of the run in a folder.
///
/// # Errors
///
/// When the folder cannot be read, or a checkpoint is of a newer version.
pub fn newest_checkpoint(run: &Path) -> Result<Newest> {
    let (found, warnings) = newest(run)?;
    Ok(Newest { checkpoint: found.map(|found| (found.state.step, found.path)), warnings })
}

fn read(run: &Path, path: &Path, step: u64) -> Result<RunState, Unfit> {
    let damaged = |reason: String| Unfit::Damaged(reason);
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
    let state =
        RunState::from_text(&text(&path.join(RUN)).map_err(|error| damaged(format!("{RUN}: {error}")))?);
    let state = state.map_err(|error| match error {
        Unfit::Damaged(reason) => Unfit::Damaged(format!("{RUN}: {reason}")),
        newer => newer,
    })?;
    if state.step != step {
        return Err(damaged(format!("{RUN} is that of step {}", state.step)));
    }
    for name in [PARAMETERS, OPTIMIZER] {
        if !state.files.contains_key(name) {
            return Err(damaged(format!("{RUN} does not list {name}")));
        }
    }
    for (name, digest) in &state.files {
        if ![PARAMETERS, OPTIMIZER, BEST].contains(&name.as_str()) {
            return Err(damaged(format!("{RUN} lists {name}, which is no part of a checkpoint")));
        }
        digest.check(&path.join(name)).map_err(damaged)?;
    }
    for name in LOGS {
        let length = run.join(name).symlink_metadata().map_or(0, |metadata| metadata.len());
        let counted = state.log(name);
        if length < counted {
            return Err(damaged(format!("{name} has {length} bytes, {counted} when it was written")));
        }
    }
    Ok(state)
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}
