//! Reading safetensors files, whole or sharded, through a memory map.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use memmap2::{Mmap, MmapOptions};
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::dtype::kind_of;
use super::json::read_json;
use crate::error::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The beginning of the file that Git LFS leaves in place of a large one.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The weight files of a model directory; no tensor is read until it is copied.
#[derive(Debug)]
pub(crate) struct Weights {
    /// The file to name when a tensor is in none: the only one, or the index.
    pub(crate) path: PathBuf,
    files: Vec<Opened>,
    tensors: BTreeMap<String, Located>,
}

/// Where a tensor is.
#[derive(Debug)]
struct Located {
    /// The position in the list of files.
    file: usize,
    /// The name in that file.
    name: String,
}

impl Weights {
    /// Opens `model.safetensors` of `dir`, or the files that its index names.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let single = dir.join(SINGLE);
        if single.exists() {
            return Self::open_file(single);
        }
        let index = dir.join(INDEX);
        if index.exists() {
            return Self::open_sharded(dir, index);
        }
        let hint = if dir.join("pytorch_model.bin").exists() {
            "; pytorch_model.bin is a Python pickle, which is not read: load the model in transformers \
             and save_pretrained() it again"
        } else {
            ""
        };
        Err(Error::NoWeights { dir: dir.to_path_buf(), hint })
    }

    /// Opens one file.
    pub(super) fn open_file(path: PathBuf) -> Result<Self> {
        let file = Opened::open(path.clone())?;
        let located = |name: String| (name.clone(), Located { file: 0, name });
        let tensors = file.metadata.offset_keys().into_iter().map(located).collect();
        Ok(Self { path, files: vec![file], tensors })
    }

    fn open_sharded(dir: &Path, path: PathBuf) -> Result<Self> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let index: Index = read_json(&path)?;
        let error = |message: String| Error::Index { path: path.clone(), message };
        let mut files: Vec<Opened> = Vec::new();
        let mut positions = BTreeMap::new();
        let mut tensors = BTreeMap::new();
        for (name, file) in index.weight_map {
            let position = match positions.get(&file) {
                Some(&position) => position,
                None => {
                    let shard = inside(dir, &file).ok_or_else(|| {
                        error(format!(
                            "\"{file}\" is outside the model directory; expected a plain file name"
                        ))
                    })?;
                    if !shard.exists() {
                        return Err(error(format!("names \"{file}\" for \"{name}\", which does not exist")));
                    }
                    files.push(Opened::open(shard)?);
                    positions.insert(file.clone(), files.len() - 1);
                    files.len() - 1
                }
            };
            if files.get(position).is_none_or(|mapped| mapped.metadata.info(&name).is_none()) {
                return Err(error(format!("says that \"{name}\" is in \"{file}\", which does not have it")));
            }
            tensors.insert(name.clone(), Located { file: position, name });
        }
        Ok(Self { path, files, tensors })
    }

    /// Returns the names of all tensors, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Returns whether names begin with this; those of a bare model do not.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.names().any(|name| name.starts_with(prefix))
    }

    /// Returns the shape of a tensor, when it is there.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.find(name).map(|(_, info)| info.shape.as_slice())
    }

    fn find(&self, name: &str) -> Option<(&Opened, &TensorInfo)> {
        let located = self.tensors.get(name)?;
        let file = self.files.get(located.file)?;
        Some((file, file.metadata.info(&located.name)?))
    }

    /// Gives a tensor another name.
    pub(crate) fn rename(&mut self, from: &str, to: String) {
        if let Some(located) = self.tensors.remove(from) {
            self.tensors.insert(to, located);
        }
    }

    /// Returns the error of tensors that are in no file, with the reason where the names show it.
    pub(crate) fn missing(&self, names: Vec<String>) -> Error {
        // The prefixes that wrappers add to all names.
        const WRAPPERS: [(&str, &str); 2] = [("module.", "DataParallel"), ("_orig_mod.", "torch.compile")];
        let wrapper = WRAPPERS.iter().find(|(prefix, _)| self.has_prefix(prefix));
        let hint = match wrapper {
            Some((prefix, wrapper)) => format!(
                "; the names in the file begin with \"{prefix}\", as those of {wrapper} do: save the model inside, \
                 model.{}save_pretrained(DIRECTORY)",
                prefix
            ),
            None if names.iter().all(|name| name == "lm_head.weight") => {
                "; if the model uses its embedding as output matrix, write \"tie_word_embeddings\": true in \
                 config.json; a base model without head cannot predict tokens: save the …ForCausalLM"
                    .to_owned()
            }
            None => String::new(),
        };
        Error::Missing { path: self.path.clone(), names, hint }
    }

    /// Returns whether two tensors have the same dtype, shape and bytes.
    pub(crate) fn are_equal(&self, a: &str, b: &str) -> Result<bool> {
        const PIECE: usize = 4 << 20;
        let (Some((file_a, a)), Some((file_b, b))) = (self.find(a), self.find(b)) else { return Ok(false) };
        if (a.dtype, &a.shape) != (b.dtype, &b.shape) {
            return Ok(false);
        }
        let length = a.data_offsets.1 - a.data_offsets.0;
        for offset in (0..length).step_by(PIECE) {
            let count = PIECE.min(length - offset);
            let piece = |file: &Opened, info: &TensorInfo| {
                file.piece(file.data + info.data_offsets.0 + offset, count)
            };
            if piece(file_a, a)?[..] != piece(file_b, b)?[..] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks that a tensor is there and has this shape.
    pub(crate) fn check_shape(&self, name: &str, shape: &[i64]) -> Result<()> {
        let (file, info) = self.find(name).ok_or_else(|| self.missing(vec![name.to_owned()]))?;
        let same = shape.len() == info.shape.len()
            && shape.iter().zip(&info.shape).all(|(&a, &b)| usize::try_from(a) == Ok(b));
        if same {
            return Ok(());
        }
        let (path, found, hint) =
            (file.path.clone(), info.shape.clone(), vocabulary_hint(name, shape, &info.shape));
        Err(Error::Shape { path, name: name.to_owned(), expected: shape.to_vec(), found, hint })
    }

    /// Checks that a tensor has this kind.
    pub(super) fn check_kind(&self, name: &str, kind: Kind) -> Result<()> {
        match self.find(name) {
            Some((file, info)) if kind_of(info.dtype) != Some(kind) => {
                let (path, found) = (file.path.display(), info.dtype);
                Err(Error::Input(format!(
                    "{path}: tensor \"{name}\" is stored as {found:?}, the model has {kind:?}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Copies a tensor into `target`, converting it to the target's kind and device.
    ///
    /// Gradients must be off, or libtorch refuses to write into a leaf that requires them.
    pub(crate) fn copy_into(&self, name: &str, target: &mut Tensor) -> Result<()> {
        let shape = target.size();
        self.copy_rows_into(name, &shape, 0, target)
    }

    /// Copies the rows from `first` on of a tensor of shape `whole` into `target`, as many as that has.
    ///
    /// A piece of the file is mapped at a time and given back, so that the file's pages do not add to the model's.
    pub(crate) fn copy_rows_into(
        &self,
        name: &str,
        whole: &[i64],
        first: i64,
        target: &mut Tensor,
    ) -> Result<()> {
        // Pages are read ahead within a piece; larger ones save nothing.
        const PIECE: usize = 4 << 20;
        self.check_shape(name, whole)?;
        let (file, info) = self.find(name).ok_or_else(|| self.missing(vec![name.to_owned()]))?;
        let kind = kind_of(info.dtype).ok_or_else(|| Error::Dtype {
            path: file.path.clone(),
            name: name.to_owned(),
            found: format!("{:?}", info.dtype),
        })?;
        let width = kind.elt_size_in_bytes();
        let row = info.shape.iter().skip(1).product::<usize>() * width;
        let first = usize::try_from(first).unwrap_or(usize::MAX).saturating_mul(row);
        let start = (file.data + info.data_offsets.0).saturating_add(first);
        let bytes = target.numel() * width;
        if start.saturating_add(bytes) > file.data + info.data_offsets.1 {
            return Err(Error::Input(format!("\"{name}\" has too few rows for its parts")));
        }
        let flat = target.f_view(-1)?;
        for offset in (0..bytes).step_by(PIECE) {
            let length = PIECE.min(bytes - offset);
            let piece = file.piece(start + offset, length)?;
            let (from, count) = (offset / width, length / width);
            // Elements of a tensor in memory are far fewer than i64 counts.
            let mut part = flat.f_narrow(0, from as i64, count as i64)?;
            copy_bytes(&piece, &[count as i64], kind, &mut part)?;
        }
        Ok(())
    }
}

/// A file whose header was read; its tensors are mapped when they are copied.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where the tensors begin.
    data: usize,
}

impl Opened {
    fn open(path: PathBuf) -> Result<Self> {
        let read = |source| Error::io("read", &path, source);
        // Opening a pipe would wait for ever.
        if !std::fs::metadata(&path).map_err(read)?.is_file() {
            return Err(Error::io("read", &path, std::io::Error::other("it is not a regular file")));
        }
        let file = File::open(&path).map_err(read)?;
        // SAFETY: the map is only read. A file that another process changes meanwhile gives wrong numbers, and
        // one that is cut short ends the program, as it would any program that maps it; model files are replaced
        // by renaming, which does neither.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        if map.starts_with(LFS_POINTER) {
            return Err(Error::LfsPointer { path });
        }
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|source| Error::Damaged {
            path: path.clone(),
            length: map.len(),
            source,
        })?;
        // The file begins with the header's length in 8 bytes.
        Ok(Self { path, file, metadata, data: header + 8 })
    }

    fn piece(&self, start: usize, length: usize) -> Result<Mmap> {
        let mut options = MmapOptions::new();
        // The pages are all wanted, so the system may fetch them at once rather than one by one.
        options.offset(start as u64).len(length).populate();
        // SAFETY: as for the header in `open`; the map lives while one piece is copied.
        #[allow(unsafe_code)]
        let map = unsafe { options.map(&self.file) };
        map.map_err(|source| Error::io("read", &self.path, source))
    }
}

/// Returns what to do about a matrix that has a row per token of another vocabulary.
fn vocabulary_hint(name: &str, expected: &[i64], found: &[usize]) -> String {
    let rows_only = match (expected, found) {
        ([rows, width], [found_rows, found_width]) => {
            usize::try_from(*width) == Ok(*found_width) && usize::try_from(*rows) != Ok(*found_rows)
        }
        _ => false,
    };
    let per_token = ["word_embeddings.weight", "embed_tokens.weight", "lm_head.weight"];
    if !rows_only || !per_token.iter().any(|end| name.ends_with(end)) {
        return String::new();
    }
    let tokens = found.first().copied().unwrap_or_default();
    format!(
        "; the vocabulary was resized: set \"vocab_size\" to {tokens}, or save model and configuration together after \
         model.resize_token_embeddings()"
    )
}

/// Returns a relative path that stays below `dir`.
fn inside(dir: &Path, file: &str) -> Option<PathBuf> {
    let path = Path::new(file);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !file.is_empty()).then(|| dir.join(path))
}

fn copy_bytes(bytes: &[u8], shape: &[i64], kind: Kind, target: &mut Tensor) -> Result<()> {
    if bytes.as_ptr().align_offset(kind.elt_size_in_bytes()) != 0 {
        // The format aligns the header, but old files need not be aligned.
        let source = Tensor::f_from_data_size(bytes, shape, kind)?;
        return Ok(target.f_copy_(&source)?);
    }
    // SAFETY: `bytes` holds exactly the elements of `shape` (the header was checked against the file's
    // length), is aligned, is only read, and outlives `source`, which ends with this function.
    #[allow(unsafe_code)]
    let source = unsafe { Tensor::f_from_blob(bytes.as_ptr(), shape, &[], kind, Device::Cpu) }?;
    Ok(target.f_copy_(&source)?)
}
