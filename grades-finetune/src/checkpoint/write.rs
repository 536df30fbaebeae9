//! Writes checkpoints atomically and removes old ones.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grades_models::files::atomic::with_path;
use grades_models::files::write_file;

use super::layout::{BEST, OPTIMIZER, PARAMETERS, RUN, name_of, step_of};
use super::snapshot::Snapshot;
use crate::storage::{AtomicFolder, Digest, remove_whole, sweep};

/// A checkpoint on the disk.
pub(super) struct Written {
    pub(crate) path: PathBuf,
    /// Failures to remove old checkpoints, a line each.
    pub(crate) warning: Option<String>,
}

/// Writes a checkpoint into the folder of all checkpoints, then removes all but the newest `keep`.
pub(super) fn write(folder: &Path, keep: usize, snapshot: Snapshot) -> Result<Written> {
    check_finite(&snapshot)?;
    // The run's own folder is not created again: if it is gone, somebody moved or removed it.
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make the folder {}", folder.display()))
        }
        made => {
            let written = fill(folder, keep, snapshot);
            if made.is_ok() && written.is_err() {
                // It is empty, and was not there before; if it cannot be removed it does no harm.
                let _ = std::fs::remove_dir(folder);
            }
            written
        }
    }
}

/// Writes a checkpoint into the folder of all checkpoints, which exists.
fn fill(folder: &Path, keep: usize, mut snapshot: Snapshot) -> Result<Written> {
    // A process that had no more handles could not remove what it had begun. What stays now is removed next time.
    let _ = sweep(folder);
    let step = snapshot.run.state.step;
    let destination = folder.join(name_of(step));
    let filling = AtomicFolder::create(&destination)?;
    let parameters = filling.path().join(PARAMETERS);
    write_file(&parameters, &snapshot.parameters)?;
    let optimizer = filling.path().join(OPTIMIZER);
    snapshot.optimizer.write(&optimizer)?;
    let mut written = vec![(PARAMETERS, parameters), (OPTIMIZER, optimizer)];
    if !snapshot.best.is_empty() {
        let best = filling.path().join(BEST);
        write_file(&best, &snapshot.best)?;
        written.push((BEST, best));
    }
    for (name, path) in written {
        let digest = Digest::of(&path).with_context(|| format!("reading {}", path.display()))?;
        snapshot.run.files.insert(name.to_owned(), digest);
    }
    for log in &snapshot.logs {
        log.sync_data().context("bringing the logs to the disk")?;
    }
    let text = snapshot.run.to_text().context("writing the state of the run")?;
    let path = filling.path().join(RUN);
    let written = || {
        let mut file = File::create_new(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().with_context(|| format!("cannot write {}", path.display()))?;
    filling.commit()?;
    let warnings: Vec<String> = prune(folder, step, keep)
        .iter()
        .map(|error| format!("an old checkpoint cannot be removed: {error}"))
        .collect();
    let warning = Some(warnings.join("\n")).filter(|warning| !warning.is_empty());
    Ok(Written { path: destination, warning })
}

/// Refuses a checkpoint whose parameters are not finite: it would replace a useful one.
fn check_finite(snapshot: &Snapshot) -> Result<()> {
    for (name, tensor) in &snapshot.parameters {
        if i64::try_from(tensor.f_isfinite()?.f_all()?)? == 0 {
            bail!("the parameter {name} holds a number that is not finite");
        }
    }
    Ok(())
}

/// Removes the checkpoints up to this step except the newest `keep`; returns the error of each that stays. Later ones,
/// which a resumed run passed over as damaged, stay.
fn prune(folder: &Path, step: u64, keep: usize) -> Vec<io::Error> {
    let mut steps = match steps(folder) {
        Ok(steps) => steps,
        Err(error) => return vec![with_path(error, folder)],
    };
    steps.retain(|found| *found <= step);
    steps.reverse();
    let old = steps.into_iter().skip(keep);
    old.filter_map(|old| remove_whole(&folder.join(name_of(old))).err()).collect()
}

/// Lists the steps of the checkpoints in a folder, sorted; none when it does not exist.
pub(super) fn steps(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut steps = Vec::new();
    for entry in entries {
        steps.extend(entry?.file_name().to_str().and_then(step_of));
    }
    steps.sort_unstable();
    Ok(steps)
}
