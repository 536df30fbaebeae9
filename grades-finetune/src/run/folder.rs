//! The folder of a run and the lock on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::records::{EVALS, FREEZES, STATISTICS, STEPS, Summary};
use crate::storage::{Lock, write_atomic};

/// The folder of one run. A new run creates its own; only a resumed run writes into an existing one.
///
/// While this value lives, no other process can resume the run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: Lock,
}

/// Everything that a run writes into its folder.
const ENTRIES: [&str; 11] = [
    "config.toml",
    STEPS,
    FREEZES,
    EVALS,
    STATISTICS,
    Summary::FILE,
    "report.html",
    "tensorboard",
    "checkpoints",
    "model",
    "adapter",
];

impl RunFolder {
    /// Creates `folder/name`.
    ///
    /// # Errors
    ///
    /// When it exists, or cannot be created.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        match fs::create_dir(&path) {
            Ok(()) => Self::lock(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
                "the run folder {} exists already; choose another name (--name) or remove it",
                path.display()
            ),
            Err(error) => Err(error).with_context(|| format!("cannot make the folder {}", path.display())),
        }
    }

    /// Creates `folder/name`, or `folder/name-2`, `folder/name-3`, … when that exists: the number after the highest one.
    ///
    /// # Errors
    ///
    /// When no folder can be created.
    pub fn create_numbered(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let first = highest_number(folder, name).map_or(1, |highest| highest.saturating_add(1));
        for number in first.. {
            let path = folder.join(numbered(name, number));
            match fs::create_dir(&path) {
                Ok(()) => return Self::lock(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot make the folder {}", path.display()));
                }
            }
        }
        bail!("all names from {name} on are taken in {}", folder.display())
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, another process is using it, or something in it is a link: a run writes into its own
    /// folder only.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self::lock(path.to_path_buf())?;
        for name in ENTRIES {
            let path = folder.file(name);
            if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
                bail!("{} is a link; a run is resumed in its own folder only", path.display());
            }
        }
        Ok(folder)
    }

    fn lock(path: PathBuf) -> Result<Self> {
        let lock =
            Lock::acquire(&path).with_context(|| format!("cannot open the run folder {}", path.display()))?;
        match lock {
            None => bail!("another process is at the run {}; it must end first", path.display()),
            Some(lock) => Ok(Self { path, _lock: lock }),
        }
    }

    /// Finds the run `folder/name` with the highest number that [`create_numbered`](Self::create_numbered) gave, whether
    /// or not runs with lower numbers are still there; `None` when there is none.
    pub fn last_numbered(folder: &Path, name: &str) -> Option<PathBuf> {
        highest_number(folder, name).map(|number| folder.join(numbered(name, number)))
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file atomically.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        // The error begins with the path.
        write_atomic(&self.file(name), text.as_bytes()).map_err(|error| anyhow!("cannot write {error}"))
    }
}

/// Returns the name of a run with a number; the first one has none.
fn numbered(name: &str, number: u64) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

/// Returns the highest number that a run of this name has in a folder; `None` when there is no such run.
fn highest_number(folder: &Path, name: &str) -> Option<u64> {
    let number_of = |found: &str| match found.strip_prefix(name)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse().ok().filter(|number| *number > 1),
    };
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let number = |entry: fs::DirEntry| {
        let file_name = entry.file_name();
        let found = file_name.to_str()?;
        // "007" and "+7" are parsed too, but are not names that a run gets.
        let number = number_of(found).filter(|number| numbered(name, *number) == found)?;
        is_run(&entry.path()).then_some(number)
    };
    entries.filter_map(number).max()
}

/// Returns whether a folder is that of a run: it has an entry of one, or at most temporary files, as at a run's very
/// beginning.
fn is_run(path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(path) else { return false };
    let is_hidden = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    ENTRIES.iter().any(|entry| path.join(entry).exists()) || entries.filter_map(Result::ok).all(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_counts_also_past_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let last = || RunFolder::last_numbered(dir.path(), "run");
        let make = |name: &str| fs::create_dir(dir.path().join(name)).unwrap();
        assert_eq!((last(), RunFolder::last_numbered(&dir.path().join("gone"), "run")), (None, None));
        ["run-2", "run-4", "run-007", "run-x", "run-", "running", "run-1"].into_iter().for_each(make);
        assert_eq!(last(), Some(dir.path().join("run-4")));
        // A folder of the user's whose name happens to fit.
        make("run-2024");
        fs::write(dir.path().join("run-2024/notes"), "").unwrap();
        fs::write(dir.path().join("run-9"), "").unwrap();
        assert_eq!(last(), Some(dir.path().join("run-4")));
        let new = RunFolder::create_numbered(dir.path(), "run").unwrap();
        assert_eq!(new.path(), dir.path().join("run-5"));
        make("run-10");
        assert_eq!(last(), Some(dir.path().join("run-10")));
    }
}
