//! Errors of reading, running and writing models.

use std::io;
use std::path::{Path, PathBuf};

use tch::TchError;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model could not be read, run or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be written; the error's text begins with its path.
    #[error("cannot write {0}")]
    Write(#[source] io::Error),
    /// A file could not be read, or a folder not created.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation: `read` or `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A model directory has no `config.json`.
    #[error("cannot read {}: {source}{hint}", path.display())]
    NoConfig {
        /// The configuration file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
        /// The reason and what to do, when that is known.
        hint: String,
    },
    /// A file is not valid JSON.
    #[error("{} is not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error, with line and column.
        source: serde_json::Error,
    },
    /// A key of `config.json` is missing or makes no sense.
    #[error("{}: \"{key}\": {message}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// The mistake, and what was expected.
        message: String,
    },
    /// The model is of a kind that this crate does not implement.
    #[error("{}: \"{key}\" is {found}, which is not supported; supported: {supported}", path.display())]
    Unsupported {
        /// The configuration file.
        path: PathBuf,
        /// The key that says so.
        key: &'static str,
        /// Its value.
        found: String,
        /// The values that would do.
        supported: String,
    },
    /// The directory has no weights in safetensors format.
    #[error("{} has neither model.safetensors nor model.safetensors.index.json{hint}", dir.display())]
    NoWeights {
        /// The model directory.
        dir: PathBuf,
        /// The cure, when one is known.
        hint: &'static str,
    },
    /// A weight file is damaged.
    #[error("{} ({length} bytes) is not a whole safetensors file, it is cut off or damaged: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The reader's error.
        source: safetensors::SafeTensorError,
    },
    /// A weight file is a pointer of Git LFS.
    #[error(
        "{} is a Git LFS pointer, not the weights: run `git lfs pull` in its directory, or download the model again \
         (huggingface-cli download MODEL --local-dir DIRECTORY)",
        path.display()
    )]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// The weights are quantised.
    #[error(
        "{}: \"quantization_config\" ({method}): quantised weights are not supported; use the original model, or in \
         transformers model.dequantize() and save_pretrained() ({source})",
        path.display()
    )]
    Quantized {
        /// The configuration file.
        path: PathBuf,
        /// `quant_method` of the configuration.
        method: String,
        /// The first thing in the weights that does not fit a full-precision model.
        source: Box<Error>,
    },
    /// The index of a sharded model is wrong.
    #[error("{}: {message}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// The mistake.
        message: String,
    },
    /// Tensors that the model needs are not in the files.
    #[error("{} lacks {} of the model's tensors: {}{hint}", path.display(), names.len(), list(names))]
    Missing {
        /// The file, or the index of a sharded model.
        path: PathBuf,
        /// The names, as they would be in the file.
        names: Vec<String>,
        /// The reason and what to do, when that is known.
        hint: String,
    },
    /// Tensors in the files belong to no part of the model.
    #[error("{} has {} tensors that this model does not have: {}", path.display(), names.len(), list(names))]
    Unexpected {
        /// The file, or the index of a sharded model.
        path: PathBuf,
        /// The names in the file.
        names: Vec<String>,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor \"{name}\" has shape {found:?}, config.json asks for {expected:?}{hint}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// The shape by the configuration.
        expected: Vec<i64>,
        /// The shape in the file.
        found: Vec<usize>,
        /// The reason and what to do, when that is known.
        hint: String,
    },
    /// A tensor is stored in a format that is not a floating-point one.
    #[error("{}: tensor \"{name}\" is stored as {found}; supported: F32, F16, BF16, F64", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// The format's name.
        found: String,
    },
    /// The labels asked for do not go with the model.
    #[error("{}: {message}", path.display())]
    Labels {
        /// The configuration file.
        path: PathBuf,
        /// Both sides by name, and what would do.
        message: String,
    },
    /// The options or inputs given to the model make no sense.
    #[error("{0}")]
    Input(String),
    /// An adapter could not be read or added.
    #[error(transparent)]
    Lora(#[from] grades_lora::Error),
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
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// Lists the first names, so that a file of another model does not fill the screen.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|name| format!("\"{name}\"")).collect();
    if names.len() > SHOWN {
        text.push(format!("and {} more", names.len() - SHOWN));
    }
    text.join(", ")
}
