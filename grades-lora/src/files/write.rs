//! Writing an adapter's files.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use grades::torch::copy_bytes;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};
use tempfile::NamedTempFile;

use super::names::PREFIX;
use super::{CONFIG_FILE, WEIGHTS_FILE};
use crate::config::LoraConfig;
use crate::config::write_peft;
use crate::error::{Error, Result};

/// Writes both files; the tensors' names are without prefix.
pub(crate) fn write(dir: &Path, config: &LoraConfig, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|source| Error::io("create", dir, source))?;
    for path in [WEIGHTS_FILE, CONFIG_FILE].map(|name| dir.join(name)) {
        // A link, a pipe or a device is not replaced.
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            let other =
                std::io::Error::other("it is not a regular file, which is not replaced; remove it first");
            return Err(Error::io("write", &path, other));
        }
    }
    let weights = dir.join(WEIGHTS_FILE);
    let bytes = serialize(&weights, tensors)?;
    // Both are on disk before the first old one is replaced.
    let weights = stage(dir, &weights, &bytes)?;
    let text = write_peft(config)?;
    let path = dir.join(CONFIG_FILE);
    let config = stage(dir, &path, text.as_bytes())?;
    for (file, name) in [(weights, WEIGHTS_FILE), (config, CONFIG_FILE)] {
        let path = dir.join(name);
        let temporary = file.into_temp_path();
        std::fs::rename(&temporary, &path).map_err(|source| Error::io("write", &path, source))?;
        // The temporary name is gone: nothing is left to remove.
        let _ = temporary.keep();
    }
    Ok(())
}

fn stage(dir: &Path, path: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let io = |source| Error::io("write", path, source);
    let mut file =
        tempfile::Builder::new().prefix(".adapter-").suffix(".tmp").tempfile_in(dir).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    readable(file.as_file()).map_err(io)?;
    Ok(file)
}

/// Makes a file readable: a temporary file is for its owner only; this one is to be read by others.
#[cfg(unix)]
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

fn serialize(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let mut data = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let unfit = || Error::file(path, format!("\"{name}\" of kind {:?} cannot be saved", tensor.kind()));
        let dtype = match tensor.f_kind()? {
            Kind::Double => Dtype::F64,
            Kind::Float => Dtype::F32,
            Kind::Half => Dtype::F16,
            Kind::BFloat16 => Dtype::BF16,
            _ => return Err(unfit()),
        };
        let shape: Option<Vec<usize>> =
            tensor.size().into_iter().map(|length| usize::try_from(length).ok()).collect();
        let mut bytes = Vec::new();
        copy_bytes(tensor, &mut bytes)?;
        data.push((format!("{PREFIX}{name}"), dtype, shape.ok_or_else(unfit)?, bytes));
    }
    let damaged = |error: safetensors::SafeTensorError| Error::file(path, error.to_string());
    let views = data
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(damaged)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(damaged)
}
