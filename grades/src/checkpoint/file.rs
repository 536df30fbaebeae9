//! Writes tensors and text to one file, whole or not at all, and reads them with a checksum.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::torch::copy_bytes;

const FORMAT: &str = "grades-optimizer";

/// A tensor's bytes on the host.
#[derive(Debug)]
pub(crate) struct Bytes {
    kind: Kind,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Bytes {
    fn dtype(&self) -> Dtype {
        match self.kind {
            Kind::Double => Dtype::F64,
            Kind::BFloat16 => Dtype::BF16,
            Kind::Half => Dtype::F16,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn bytes(name: &str, tensor: &Tensor) -> Result<Bytes> {
    let kind = tensor.kind();
    if !matches!(kind, Kind::Float | Kind::Double | Kind::BFloat16 | Kind::Half) {
        return Err(Error::Unsupported {
            what: format!("saving the tensor \"{name}\""),
            reason: format!("it is {kind:?}; supported: Float, Double, BFloat16, Half"),
        });
    }
    let mut bytes = Vec::new();
    copy_bytes(tensor, &mut bytes)
        .map_err(|error| Error::torch(format!("copying \"{name}\" to save it"), &error))?;
    let shape = tensor.size().into_iter().filter_map(|size| usize::try_from(size).ok()).collect();
    Ok(Bytes { kind, shape, bytes })
}

/// Returns the checksum of the text and of the tensors in the order of their names.
fn checksum<'a>(text: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(text.as_bytes());
    for (name, bytes) in tensors {
        hasher.update(name.as_bytes());
        hasher.update(bytes);
    }
    format!("{:08x}", hasher.finalize())
}

/// Copies tensors to the host, sorted by name.
pub(crate) fn copy(tensors: Vec<(String, Tensor)>) -> Result<Vec<(String, Bytes)>> {
    let copied = tensors.into_iter().map(|(name, tensor)| {
        let bytes = bytes(&name, &tensor)?;
        Ok((name, bytes))
    });
    let mut copies = copied.collect::<Result<Vec<_>>>()?;
    copies.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(copies)
}

/// Writes a file under a temporary name beside `path`, brings it to the disk, and renames it.
pub(crate) fn write(path: &Path, version: u32, text: &str, tensors: &[(String, Bytes)]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let checksum =
        checksum(text, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.bytes.as_slice())));
    let metadata = HashMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("version".to_owned(), version.to_string()),
        ("checksum".to_owned(), checksum),
        ("state".to_owned(), text.to_owned()),
    ]);
    let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let whole = safetensors::serialize(views, Some(metadata))
        .map_err(|error| damaged(path, &format!("it cannot be written as safetensors: {error}")))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || {
        let mut file = tempfile::Builder::new().prefix(".checkpoint-").suffix(".tmp").tempfile_in(folder)?;
        file.write_all(&whole)?;
        file.as_file().sync_all()?;
        let temporary = file.into_temp_path();
        std::fs::rename(&temporary, path)?;
        // The temporary name is gone: nothing is left to remove.
        let _ = temporary.keep();
        // The rename must survive a loss of power too; some file systems refuse to sync a folder.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    };
    written().map_err(|source| Error::Io { doing: doing(), source })
}

/// Reads a file: its text, and its tensors by name, on the host.
pub(crate) fn read(path: &Path, newest: u32) -> Result<(String, Vec<(String, Tensor)>)> {
    let read = |source| Error::Io { doing: format!("reading {}", path.display()), source };
    // A pipe may never be written to, a device may never end.
    let found = std::fs::metadata(path).map_err(read)?.file_type();
    if !found.is_file() && !found.is_dir() {
        return Err(read(std::io::Error::other("it is not a regular file")));
    }
    let whole = std::fs::read(path).map_err(read)?;
    let refuse = |reason: String| damaged(path, &reason);
    let (_, metadata) = SafeTensors::read_metadata(&whole)
        .map_err(|error| refuse(format!("it is no safetensors file: {error}")))?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    let entry = |key: &str| metadata.get(key).ok_or_else(|| refuse(format!("its metadata lack \"{key}\"")));
    if entry("format")? != FORMAT {
        return Err(refuse(format!("its format is \"{}\", expected \"{FORMAT}\"", entry("format")?)));
    }
    let version: u32 =
        entry("version")?.parse().map_err(|_| refuse("its version is no number".to_owned()))?;
    if version == 0 || version > newest {
        return Err(refuse(format!(
            "it has version {version}; this program reads up to version {newest}: load it with the one that wrote it"
        )));
    }
    let tensors =
        SafeTensors::deserialize(&whole).map_err(|error| refuse(format!("it is damaged: {error}")))?;
    let mut views = tensors.tensors();
    views.sort_by(|one, other| one.0.cmp(&other.0));
    let text = entry("state")?;
    let found = checksum(text, views.iter().map(|(name, view)| (name.as_str(), view.data())));
    if found != *entry("checksum")? {
        return Err(refuse(format!(
            "it is damaged: its checksum is {}, its bytes give {found}",
            entry("checksum")?
        )));
    }
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F64 => Kind::Double,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F16 => Kind::Half,
            other => {
                return Err(refuse(format!("tensor \"{name}\" is {other:?}, which no optimizer stores")));
            }
        };
        let shape: Vec<i64> = view.shape().iter().filter_map(|size| i64::try_from(*size).ok()).collect();
        let made = Tensor::f_from_data_size(view.data(), &shape, kind);
        Ok((name.clone(), made.map_err(|error| Error::torch(format!("reading \"{name}\""), &error))?))
    };
    Ok((text.clone(), views.into_iter().map(tensor).collect::<Result<_>>()?))
}

pub(crate) fn damaged(path: &Path, reason: &str) -> Error {
    Error::State { what: path.display().to_string(), reason: reason.to_owned() }
}
