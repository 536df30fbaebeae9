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

    /// Creates `folder/name`, or `folder/name-2`, `folder/name-3`, … when that exists.
    ///
    /// # Errors
    ///
    /// When no folder can be created.
    pub fn create_numbered(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        for number in 1u64.. {
            let numbered = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let path = folder.join(numbered);
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

    /// Finds the folder `folder/name` with the highest number that [`create_numbered`](Self::create_numbered) gave;
    /// `None` when there is none.
    pub fn last_numbered(folder: &Path, name: &str) -> Option<PathBuf> {
        let numbered = |number: u64| match number {
            1 => folder.join(name),
            _ => folder.join(format!("{name}-{number}")),
        };
        (1u64..).map(numbered).take_while(|path| path.is_dir()).last()
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
