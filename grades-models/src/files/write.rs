//! Writing a model directory: everything under temporary names first, then all of it renamed.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use grades::torch::{byte_len, copy_bytes};
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Map, Value, json};
use tch::Tensor;

use super::atomic::{AtomicFile, Staged, commit_all};
use super::dtype::dtype_of;
use super::sidecars::Sidecars;
use crate::error::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// One tensor of a file: variables of like width, row under row.
#[derive(Debug)]
pub(crate) struct Entry {
    name: String,
    parts: Vec<Tensor>,
}

impl Entry {
    /// Creates an entry of a whole variable.
    pub(crate) fn whole(name: String, tensor: Tensor) -> Self {
        Self { name, parts: vec![tensor] }
    }

    /// Variables that are one matrix in the file; at least one.
    pub(crate) fn stacked(name: String, parts: Vec<Tensor>) -> Self {
        Self { name, parts }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> u64 {
        self.parts.iter().map(byte_len).sum()
    }

    /// Returns its place in a file whose tensors so far end at `offset`.
    fn info(&self, offset: usize) -> Result<TensorInfo> {
        let unfit = |what: String| Error::Input(format!("\"{}\" cannot be saved: {what}", self.name));
        let first = self.parts.first().ok_or_else(|| unfit("it has no parts".into()))?;
        let kind = first.f_kind()?;
        let dtype = dtype_of(kind).ok_or_else(|| unfit(format!("its kind is {kind:?}")))?;
        let mut shape = first.size();
        if self.parts.len() > 1 {
            let rows = self.parts.iter().map(|part| part.size().first().copied().unwrap_or(0)).sum();
            if let Some(first) = shape.first_mut() {
                *first = rows;
            }
        }
        let shape: Option<Vec<usize>> =
            shape.into_iter().map(|length| usize::try_from(length).ok()).collect();
        let shape = shape.ok_or_else(|| unfit("its shape makes no sense".into()))?;
        let end = offset + shape.iter().product::<usize>() * kind.elt_size_in_bytes();
        Ok(TensorInfo { dtype, shape, data_offsets: (offset, end) })
    }
}

/// Writes the weights, in files of at most `shard` bytes unless one tensor is larger, `config.json` and the
/// sidecars to `dir`; weight files of an earlier save that are no longer part of the model are removed at the end.
pub(crate) fn save_directory(
    dir: &Path,
    config: &Value,
    entries: Vec<Entry>,
    sidecars: &Sidecars,
    shard: u64,
) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|source| Error::io("create", dir, source))?;
    let shards = shards(entries, shard)?;
    let mut staged = Vec::new();
    let mut written = Vec::new();
    // The longest to write comes first, so that a full disk shows at once.
    let mut map = Map::new();
    let (mut size, mut parameters) = (0u64, 0u64);
    for (number, entries) in (1..).zip(&shards) {
        let name = match shards.len() {
            1 => SINGLE.to_owned(),
            count => format!("model-{number:05}-of-{count:05}.safetensors"),
        };
        staged.push(stage(dir, &name, |file| write_tensors(file, entries))?);
        for entry in entries {
            size += entry.bytes();
            parameters += entry.parts.iter().map(|part| part.numel() as u64).sum::<u64>();
            map.insert(entry.name.clone(), name.clone().into());
        }
        written.push(name);
    }
    if shards.len() > 1 {
        let metadata = json!({"total_parameters": parameters, "total_size": size});
        let index = json!({"metadata": metadata, "weight_map": map});
        staged.push(stage(dir, INDEX, |file| writeln!(file, "{index:#}").map_err(Error::Write))?);
        written.push(INDEX.to_owned());
    }
    staged.push(stage(dir, "config.json", |file| {
        // The alternate form of a value is indented.
        writeln!(file, "{config:#}").map_err(Error::Write)
    })?);
    for (name, bytes) in &sidecars.0 {
        staged.push(stage(dir, name, |file| file.write_all(bytes).map_err(Error::Write))?);
    }
    commit_all(staged).map_err(Error::Write)?;
    remove_stale(dir, &written)
}

/// Fills one file after the other, in the order of the names.
fn shards(mut entries: Vec<Entry>, limit: u64) -> Result<Vec<Vec<Entry>>> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut shards: Vec<Vec<Entry>> = vec![Vec::new()];
    let mut filled = 0u64;
    for entry in entries {
        let bytes = entry.bytes();
        if filled > 0 && filled.saturating_add(bytes) > limit {
            shards.push(Vec::new());
            filled = 0;
        }
        filled = filled.saturating_add(bytes);
        if let Some(last) = shards.last_mut() {
            last.push(entry);
        }
    }
    Ok(shards)
}

fn stage(dir: &Path, name: &str, write: impl FnOnce(&mut AtomicFile) -> Result<()>) -> Result<Staged> {
    let mut file = AtomicFile::create(&dir.join(name)).map_err(Error::Write)?;
    write(&mut file)?;
    file.stage().map_err(Error::Write)
}

/// Writes the safetensors format: the header's length, the header, the tensors one after the other.
pub(super) fn write_tensors(file: &mut AtomicFile, entries: &[Entry]) -> Result<()> {
    let mut offset = 0;
    let mut infos = Vec::with_capacity(entries.len());
    for entry in entries {
        let info = entry.info(offset)?;
        offset = info.data_offsets.1;
        infos.push((entry.name.clone(), info));
    }
    let header = header(infos).map_err(Error::Write)?;
    file.write_all(&header).map_err(Error::Write)?;
    let mut bytes = Vec::new();
    for part in entries.iter().flat_map(|entry| &entry.parts) {
        write_elements(file, part, &mut bytes)?;
    }
    Ok(())
}

/// Writes the elements of a tensor, a piece at a time: a large matrix is not copied whole.
fn write_elements(file: &mut AtomicFile, tensor: &Tensor, bytes: &mut Vec<u8>) -> Result<()> {
    const PIECE: usize = 4 << 20;
    let flat = tensor.f_detach()?.f_contiguous()?.f_view(-1)?;
    let total = tensor.numel();
    for start in (0..total).step_by(PIECE) {
        let count = PIECE.min(total - start);
        // Elements of a tensor in memory are far fewer than i64 counts.
        copy_bytes(&flat.f_narrow(0, start as i64, count as i64)?, bytes)?;
        file.write_all(bytes).map_err(Error::Write)?;
    }
    Ok(())
}

/// Writes the header's length and the header, padded so that the tensors begin at a multiple of 8 bytes.
fn header(infos: Vec<(String, TensorInfo)>) -> io::Result<Vec<u8>> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(metadata), infos).map_err(io::Error::other)?;
    let mut text = serde_json::to_vec(&metadata)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = u64::try_from(text.len()).map_err(io::Error::other)?.to_le_bytes().to_vec();
    header.append(&mut text);
    Ok(header)
}

/// Removes old weights: a file of them would be read in place of the new ones, or beside them.
fn remove_stale(dir: &Path, written: &[String]) -> Result<()> {
    let weights = |name: &str| {
        name == SINGLE
            || name == INDEX
            || (name.starts_with("model-") && name.contains("-of-") && name.ends_with(".safetensors"))
    };
    let read = |source| Error::io("read", dir, source);
    for entry in std::fs::read_dir(dir).map_err(read)? {
        let name = entry.map_err(read)?.file_name().to_string_lossy().into_owned();
        if weights(&name) && !written.contains(&name) {
            let path = dir.join(&name);
            std::fs::remove_file(&path).map_err(|error| {
                Error::Write(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            })?;
        }
    }
    Ok(())
}
