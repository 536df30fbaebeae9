//! Writing a model directory.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::error::{Error, Result};
use crate::fsx::{AtomicFile, Staged, commit_all};

/// The tokenizer's files, which go with a model unchanged.
const COMPANIONS: [&str; 5] =
    ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "added_tokens.json"];

/// The contents of those files, kept since loading: the source may be gone when the training ends.
#[derive(Debug)]
pub(super) struct Companions(Vec<(&'static str, Vec<u8>)>);

impl Companions {
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for name in COMPANIONS {
            let path = dir.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => files.push((name, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::io("read", &path, source)),
            }
        }
        Ok(Self(files))
    }
}

/// Writes everything under temporary names, then renames it all.
pub(super) fn save(dir: &Path, config: &Value, store: &VarStore, companions: &Companions) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|source| Error::io("create", dir, source))?;
    let mut staged = Vec::new();
    // The longest to write comes first, so that a full disk shows at once.
    staged.push(stage(dir, "model.safetensors", |file| write_tensors(file, store))?);
    staged.push(stage(dir, "config.json", |file| {
        // The alternate form of a value is indented.
        writeln!(file, "{config:#}").map_err(Error::Write)
    })?);
    for (name, bytes) in &companions.0 {
        staged.push(stage(dir, name, |file| file.write_all(bytes).map_err(Error::Write))?);
    }
    commit_all(staged).map_err(Error::Write)
}

fn stage(dir: &Path, name: &str, write: impl FnOnce(&mut AtomicFile) -> Result<()>) -> Result<Staged> {
    let mut file = AtomicFile::create(&dir.join(name)).map_err(Error::Write)?;
    write(&mut file)?;
    file.stage().map_err(Error::Write)
}

/// The safetensors format: the header's length, the header, the tensors one after the other.
fn write_tensors(file: &mut AtomicFile, store: &VarStore) -> Result<()> {
    let mut variables: Vec<(String, Tensor)> = store.variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    let mut offset = 0;
    let mut infos = Vec::with_capacity(variables.len());
    for (name, tensor) in &variables {
        let kind = tensor.f_kind()?;
        let unfit = || Error::Input(format!("\"{name}\" of kind {kind:?} cannot be saved"));
        let dtype = dtype_of(kind).ok_or_else(unfit)?;
        let shape: Option<Vec<usize>> =
            tensor.size().into_iter().map(|length| usize::try_from(length).ok()).collect();
        let end = offset + tensor.numel() * kind.elt_size_in_bytes();
        let info = TensorInfo { dtype, shape: shape.ok_or_else(unfit)?, data_offsets: (offset, end) };
        infos.push((name.clone(), info));
        offset = end;
    }
    let header = header(infos).map_err(Error::Write)?;
    file.write_all(&header).map_err(Error::Write)?;
    let mut bytes = Vec::new();
    for (_, tensor) in &variables {
        let count = tensor.numel();
        bytes.resize(count * tensor.f_kind()?.elt_size_in_bytes(), 0);
        tensor.f_copy_data_u8(&mut bytes, count)?;
        file.write_all(&bytes).map_err(Error::Write)?;
    }
    Ok(())
}

/// The header's length and the header, padded so that the tensors begin at a multiple of 8 bytes.
fn header(infos: Vec<(String, TensorInfo)>) -> io::Result<Vec<u8>> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(metadata), infos).map_err(io::Error::other)?;
    let mut text = serde_json::to_vec(&metadata)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = u64::try_from(text.len()).map_err(io::Error::other)?.to_le_bytes().to_vec();
    header.append(&mut text);
    Ok(header)
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Double => Some(Dtype::F64),
        Kind::Float => Some(Dtype::F32),
        Kind::Half => Some(Dtype::F16),
        Kind::BFloat16 => Some(Dtype::BF16),
        _ => None,
    }
}
