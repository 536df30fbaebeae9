//! Writing a checkpoint, whole or not at all, and removing old ones.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::copy::Copied;
use super::{BEST, OPTIMIZER, PARAMETERS, RUN, name_of, step_of};
use crate::storage::{AtomicFolder, Digest, remove_whole};
use grades_models::files::write_file;

/// A checkpoint that is on the disk, and what went wrong after it was.
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) warning: Option<String>,
}

/// Writes a checkpoint into the folder of all checkpoints, and then removes those before the newest `keep`; a failure to
/// remove is told apart.
pub(super) fn write(folder: &Path, keep: usize, mut copied: Copied) -> Result<Written> {
    check_finite(&copied)?;
    // The run's own folder is not made again: if it is gone, somebody moved or removed it.
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make the folder {}", folder.display()));
        }
        _ => {}
    }
    let step = copied.state.step;
    let destination = folder.join(name_of(step));
    let filling = AtomicFolder::create(&destination)?;
    let parameters = filling.path().join(PARAMETERS);
    write_file(&parameters, &copied.parameters)?;
    let optimizer = filling.path().join(OPTIMIZER);
    copied.optimizer.write(&optimizer)?;
    let mut written = vec![(PARAMETERS, parameters), (OPTIMIZER, optimizer)];
    if !copied.best.is_empty() {
        let best = filling.path().join(BEST);
        write_file(&best, &copied.best)?;
        written.push((BEST, best));
    }
    for (name, path) in written {
        let digest = Digest::of(&path).with_context(|| format!("reading {}", path.display()))?;
        copied.state.files.insert(name.to_owned(), digest);
    }
    for log in &copied.logs {
        log.sync_data().context("bringing the logs to the disk")?;
    }
    let text = copied.state.to_text().map_err(anyhow::Error::msg).context("writing the state of the run")?;
    let path = filling.path().join(RUN);
    let written = || {
        let mut file = File::create_new(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().with_context(|| format!("cannot write {}", path.display()))?;
    filling.commit()?;
    let kept = prune(folder, step, keep).err();
    let warning = kept.map(|error| format!("an old checkpoint cannot be removed: {error}"));
    Ok(Written { path: destination, warning })
}

/// Refuses to take the place of a good checkpoint with one that nothing can be done with.
fn check_finite(copied: &Copied) -> Result<()> {
    for (name, tensor) in &copied.parameters {
        if i64::try_from(tensor.f_isfinite()?.f_all()?)? == 0 {
            bail!("the parameter {name} holds a number that is not finite");
        }
    }
    Ok(())
}

/// Removes all up to this step but the newest `keep`. Later ones are left over from before a damage; they stay.
fn prune(folder: &Path, step: u64, keep: usize) -> io::Result<()> {
    let mut steps = steps(folder)?;
    steps.retain(|found| *found <= step);
    steps.reverse();
    for old in steps.into_iter().skip(keep) {
        remove_whole(&folder.join(name_of(old)))?;
    }
    Ok(())
}

/// The steps of the checkpoints of a folder, sorted; none when it does not exist.
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
