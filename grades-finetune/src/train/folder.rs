//! The folder of a run.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::records::Summary;
use crate::storage::{Lock, write_atomic};

/// The folder of one run, made anew; an existing one is written into only to resume its run.
///
/// While it lives no other process resumes the run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: Lock,
}

/// All that a run writes into its folder.
const ENTRIES: [&str; 11] = [
    "config.toml",
    "steps.jsonl",
    "freezes.jsonl",
    "evals.jsonl",
    "statistics.jsonl",
    Summary::FILE,
    "report.html",
    "tensorboard",
    "checkpoints",
    "model",
    "adapter",
];

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
            Ok(()) => Self::lock(path),
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
                Ok(()) => return Self::lock(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot make the folder {}", path.display()));
                }
            }
        }
        bail!("all names from {name} on are taken in {}", folder.display())
    }

    /// Opens the folder of a run that began before.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, another process is at it, or something in it is a link: a run writes into its own
    /// folder alone.
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
            Lock::take(&path).with_context(|| format!("cannot open the run folder {}", path.display()))?;
        match lock {
            None => bail!("another process is at the run {}; it must end first", path.display()),
            Some(lock) => Ok(Self { path, _lock: lock }),
        }
    }

    /// The folder `folder/name` with the highest number behind it, as [`create_numbered`](Self::create_numbered) makes
    /// them; `None` when there is none.
    pub fn last_numbered(folder: &Path, name: &str) -> Option<PathBuf> {
        let numbered = |number: u64| match number {
            1 => folder.join(name),
            _ => folder.join(format!("{name}-{number}")),
        };
        (1u64..).map(numbered).take_while(|path| path.is_dir()).last()
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

    /// Opens such a file again, cut to so many bytes; makes it when there is none and it is to be empty.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or cut, or ends within a line.
    pub fn continue_file(&self, name: &str, length: u64) -> Result<File> {
        let path = self.file(name);
        let continued = || {
            let mut options = File::options();
            let mut file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
            file.set_len(length)?;
            if length > 0 {
                let mut last = [0];
                file.seek(SeekFrom::Start(length - 1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "it was changed: a line has no end",
                    ));
                }
            }
            file.seek(SeekFrom::Start(length))?;
            Ok(file)
        };
        continued().with_context(|| format!("cannot go on with {}", path.display()))
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
