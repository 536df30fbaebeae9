//! Errors of data files.

use std::io;
use std::path::{Path, PathBuf};

use tch::TchError;

use crate::printable::printable;

/// The result of everything in this module that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why data could not be read, tokenized or batched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}: {source}", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file as a whole cannot be used.
    #[error("{}: {}", shown(path), printable(message))]
    File {
        /// The file.
        path: PathBuf,
        /// The problem, and the expected content.
        message: String,
    },
    /// One line of the file cannot be used.
    #[error("{}:{line}: {}", shown(path), printable(message))]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The problem, and the expected content.
        message: String,
    },
    /// The arguments make no sense together.
    #[error("{0}")]
    Input(String),
    /// libtorch refused an operation; the text is its message's first line.
    #[error("libtorch says: {0}")]
    Torch(String),
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string()).into_owned()
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Torch(grades::first_line(error))
    }
}

impl Error {
    pub(super) fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), message: message.into() }
    }

    pub(super) fn line(path: &Path, line: u64, message: impl Into<String>) -> Self {
        Self::Line { path: path.to_path_buf(), line, message: message.into() }
    }
}
