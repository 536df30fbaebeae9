//! The one error type of the crate.

use std::io;
use std::path::{Path, PathBuf};

use tch::TchError;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error in the user's own words: the key, the layer, the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that cannot be used; every problem of it is listed.
    #[error(transparent)]
    Config(#[from] grades::Problems),
    /// No layer is adapted.
    #[error("{wanted} matches none of the model's linear layers; they are: {layers}")]
    NoTarget {
        /// The configuration's words.
        wanted: String,
        /// The names of the layers.
        layers: String,
    },
    /// A configuration that does not go with a layer, such as a rank larger than it.
    #[error("layer \"{layer}\": {message}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// The problem, and the expected value.
        message: String,
    },
    /// A call that does not go with the adapters that there are.
    #[error("adapter \"{name}\": {message}")]
    Adapter {
        /// The adapter's name.
        name: String,
        /// The problem, and the existing names.
        message: String,
    },
    /// A file asks for something that is not implemented.
    #[error("{}: \"{key}\" is {found}, which is not supported; supported: {supported}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// The values that would do.
        supported: String,
    },
    /// A file is damaged, or does not go with the model.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem, and the expected value.
        message: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action that failed: `read`, `write` or `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A call on the core that failed.
    #[error(transparent)]
    Grades(#[from] grades::Error),
    /// libtorch refused an operation; the text is its message's first line.
    #[error("libtorch says: {0}")]
    Torch(String),
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Torch(grades::first_line(error))
    }
}

impl Error {
    pub(crate) fn layer(layer: &str, message: impl Into<String>) -> Self {
        Self::Layer { layer: layer.to_owned(), message: message.into() }
    }

    pub(crate) fn adapter(name: &str, message: impl Into<String>) -> Self {
        Self::Adapter { name: name.to_owned(), message: message.into() }
    }

    pub(crate) fn file(path: &Path, message: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), message: message.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// Lists the first names, so that those of a large model do not fill the screen.
pub(crate) fn shortened<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 12;
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|name| name.as_ref().to_owned()).collect();
    if names.len() > SHOWN {
        text.push(format!("… and {} more", names.len() - SHOWN));
    }
    text.join(", ")
}
