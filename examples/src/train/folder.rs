//! The folder of a run.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::fsx::write_atomic;

/// The folder of one run, made anew; an existing one is never written into.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes `folder/name`.
    ///
    /// # Errors
    ///
    /// When it exists, or cannot be made.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self { path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
                "the run folder {} exists already; choose another name (--name) or remove it",
                path.display()
            ),
            Err(error) => Err(error).with_context(|| format!("cannot make the folder {}", path.display())),
        }
    }

    /// Makes `folder/name`, or `folder/name-2`, `folder/name-3`, … when that exists.
    ///
    /// # Errors
    ///
    /// When no folder can be made.
    pub fn create_numbered(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        for number in 1u64.. {
            let numbered = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let path = folder.join(numbered);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot make the folder {}", path.display()));
                }
            }
        }
        bail!("all names from {name} on are taken in {}", folder.display())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a file for lines that are added as the run goes on.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn create_file(&self, name: &str) -> Result<File> {
        let path = self.file(name);
        File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))
    }

    /// Writes a whole file, or nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        // The error begins with the path.
        write_atomic(&self.file(name), text.as_bytes()).map_err(|error| anyhow!("cannot write {error}"))
    }
}
