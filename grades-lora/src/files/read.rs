//! Reading an adapter's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};

use super::names::{self, PREFIX};
use super::{CONFIG_FILE, WEIGHTS_FILE, own_file, read_regular, read_regular_text};
use crate::config::LoraConfig;
use crate::config::read_peft;
use crate::error::shortened;
use crate::error::{Error, Result};

/// A tensor that must be there.
pub(crate) struct Expected {
    pub(crate) size: Vec<i64>,
    /// The dtype that it is converted to.
    pub(crate) kind: Kind,
    /// The tensor that is filled.
    pub(crate) device: Device,
}

impl LoraConfig {
    /// Reads `adapter_config.json` of a folder.
    ///
    /// No key is ignored that might ask for something. One that PEFT 0.21.2 does not have, as a later version may write
    /// it, is accepted only where it is null, false, `""`, `[]` or `{}`; with anything else the file is refused.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`] for a file that cannot be read or makes no sense, [`Error::Unsupported`] for what
    /// is not implemented, by key and value.
    pub fn from_adapter(dir: &Path) -> Result<Self> {
        let path = own(dir, CONFIG_FILE)?;
        let text = read_regular_text(&path).map_err(|source| Error::io("read", &path, source))?;
        read_peft(&path, &text)
    }
}

/// Reads `adapter_model.safetensors` of a folder, which must have just these tensors; their names are without prefix.
///
/// Beside them it may have weights of adapted layers themselves, as PEFT writes that of a targeted `lm_head`; these must
/// be those of `bases`, by name.
pub(crate) fn read_weights(
    dir: &Path,
    expected: &BTreeMap<String, Expected>,
    bases: &BTreeMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>> {
    let path = own(dir, WEIGHTS_FILE)?;
    if !path.exists() && dir.join("adapter_model.bin").exists() {
        return Err(Error::file(
            &path,
            "does not exist; adapter_model.bin is a Python pickle, which is not read: load the adapter in PEFT and \
             save_pretrained() it again",
        ));
    }
    let bytes = read_regular(&path).map_err(|source| Error::io("read", &path, source))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| {
        let length = bytes.len();
        let message =
            format!("({length} bytes) is no whole safetensors file, it is cut off or damaged: {error}");
        Error::file(&path, message)
    })?;
    let mut tensors = BTreeMap::new();
    let mut misnamed = Vec::new();
    let mut unexpected = Vec::new();
    let mut views: Vec<(String, TensorView<'_>)> = file.tensors();
    views.sort_by(|a, b| a.0.cmp(&b.0));
    for (key, view) in views {
        let Some(name) = names::plain(&key) else {
            misnamed.push(key);
            continue;
        };
        if let Some(base) = bases.get(&name) {
            check_base(&path, &key, &view, base)?;
            continue;
        }
        let Some(wanted) = expected.get(&name) else {
            if !names::is_unused(&name) {
                unexpected.push(key);
            }
            continue;
        };
        let tensor = read_tensor(&path, &key, &view, wanted)?;
        if tensors.insert(name, tensor).is_some() {
            return Err(Error::file(&path, format!("holds \"{key}\" twice, under different names")));
        }
    }
    if !misnamed.is_empty() {
        let message = format!("tensors whose names do not begin with \"{PREFIX}\": {}", shortened(&misnamed));
        return Err(Error::file(&path, message));
    }
    if !unexpected.is_empty() {
        let message = format!(
            "{} tensors that this model and {CONFIG_FILE} have no place for: {}; expected such as: {}",
            unexpected.len(),
            shortened(&unexpected),
            expected.keys().next().map_or(String::new(), |name| format!("{PREFIX}{name}")),
        );
        return Err(Error::file(&path, message));
    }
    let missing: Vec<String> = expected
        .keys()
        .filter(|name| !tensors.contains_key(*name))
        .map(|name| format!("{PREFIX}{name}"))
        .collect();
    if !missing.is_empty() {
        let message = format!("lacks {} of the adapter's tensors: {}", missing.len(), shortened(&missing));
        return Err(Error::file(&path, message));
    }
    Ok(tensors)
}

/// Returns the path of a file of the folder; one that is a link to somewhere else is refused.
fn own(dir: &Path, name: &str) -> Result<PathBuf> {
    own_file(dir, name).map_err(|source| Error::io("read", &dir.join(name), source))
}

/// Refuses an adapter that was made on other weights than the model has.
fn check_base(path: &Path, key: &str, view: &TensorView<'_>, base: &Tensor) -> Result<()> {
    let wanted = Expected { size: base.size(), kind: base.f_kind()?, device: base.device() };
    if read_tensor(path, key, view, &wanted)?.f_equal(base)? {
        return Ok(());
    }
    let message = format!(
        "tensor \"{key}\" is an adapted layer's own weight and differs from this model's; an adapter does not replace \
         weights, so load it onto the base model that it was made for"
    );
    Err(Error::file(path, message))
}

fn read_tensor(path: &Path, key: &str, view: &TensorView<'_>, wanted: &Expected) -> Result<Tensor> {
    let kind = match view.dtype() {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        other => {
            let message = format!("tensor \"{key}\" is stored as {other:?}; supported: F32, F16, BF16, F64");
            return Err(Error::file(path, message));
        }
    };
    let size: Option<Vec<i64>> = view.shape().iter().map(|length| i64::try_from(*length).ok()).collect();
    if size.as_deref() != Some(wanted.size.as_slice()) {
        let message = format!(
            "tensor \"{key}\" has shape {:?}, the model and {CONFIG_FILE} ask for {:?}; is the adapter for another base \
             model?",
            view.shape(),
            wanted.size
        );
        return Err(Error::file(path, message));
    }
    let stored = Tensor::f_from_data_size(view.data(), &wanted.size, kind)?;
    let tensor = stored.f_to_kind(wanted.kind)?;
    if i64::try_from(tensor.f_isfinite()?.f_all()?)? == 0 {
        let message = if i64::try_from(stored.f_isfinite()?.f_all()?)? == 0 {
            format!("tensor \"{key}\" holds a NaN or an infinity")
        } else {
            format!(
                "tensor \"{key}\" holds a number that {:?}, the model's kind, is too small for",
                wanted.kind
            )
        };
        return Err(Error::file(path, message));
    }
    Ok(tensor.f_to(wanted.device)?)
}
