//! Reading safetensors files, whole or sharded, through a memory map.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::error::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The weight files of a model directory; no tensor is read until it is copied.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The file to name when a tensor is in none: the only one, or the index.
    pub(super) path: PathBuf,
    files: Vec<Mapped>,
    /// Tensor name → position in `files`.
    tensors: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// Opens `model.safetensors` of `dir`, or the files that its index names.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let single = dir.join(SINGLE);
        if single.exists() {
            let file = Mapped::open(single.clone())?;
            let tensors = file.metadata.offset_keys().into_iter().map(|name| (name, 0)).collect();
            return Ok(Self { path: single, files: vec![file], tensors });
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

    fn open_sharded(dir: &Path, path: PathBuf) -> Result<Self> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let text = std::fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
        let index: Index =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.clone(), source })?;
        let error = |message: String| Error::Index { path: path.clone(), message };
        let mut files: Vec<Mapped> = Vec::new();
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
                    files.push(Mapped::open(shard)?);
                    positions.insert(file.clone(), files.len() - 1);
                    files.len() - 1
                }
            };
            if files.get(position).is_none_or(|mapped| mapped.metadata.info(&name).is_none()) {
                return Err(error(format!("says that \"{name}\" is in \"{file}\", which does not have it")));
            }
            tensors.insert(name, position);
        }
        Ok(Self { path, files, tensors })
    }

    /// The names of all tensors, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, when it is there.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.find(name).map(|(_, info)| info.shape.as_slice())
    }

    fn find(&self, name: &str) -> Option<(&Mapped, &TensorInfo)> {
        let file = self.files.get(*self.tensors.get(name)?)?;
        Some((file, file.metadata.info(name)?))
    }

    /// Copies a tensor into `target`, converting it to the target's kind and device.
    ///
    /// Gradients must be off, or libtorch refuses to write into a leaf that requires them.
    pub(super) fn copy_into(&self, name: &str, target: &mut Tensor) -> Result<()> {
        let missing = || Error::Missing { path: self.path.clone(), names: vec![name.to_owned()] };
        let (file, info) = self.find(name).ok_or_else(missing)?;
        let expected = target.size();
        let same = expected.len() == info.shape.len()
            && expected.iter().zip(&info.shape).all(|(&a, &b)| usize::try_from(a) == Ok(b));
        if !same {
            let (path, name, found) = (file.path.clone(), name.to_owned(), info.shape.clone());
            return Err(Error::Shape { path, name, expected, found });
        }
        let kind = kind_of(info.dtype).ok_or_else(|| Error::Dtype {
            path: file.path.clone(),
            name: name.to_owned(),
            found: format!("{:?}", info.dtype),
        })?;
        let (start, end) = info.data_offsets;
        let bytes = file.map.get(file.data + start..file.data + end).ok_or_else(missing)?;
        copy_bytes(bytes, &expected, kind, target)
    }
}

/// One file in memory; the system reads its pages when they are touched.
#[derive(Debug)]
struct Mapped {
    path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    /// Where the tensors begin.
    data: usize,
}

impl Mapped {
    fn open(path: PathBuf) -> Result<Self> {
        let read = |source| Error::io("read", &path, source);
        let file = std::fs::File::open(&path).map_err(read)?;
        // SAFETY: the map is only read, and only while loading. A file that another process changes
        // meanwhile gives wrong numbers, and one that is cut short ends the program, as it would any
        // program that maps it; model files are replaced by renaming, which does neither.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|source| Error::Damaged {
            path: path.clone(),
            length: map.len(),
            source,
        })?;
        // The file begins with the header's length in 8 bytes.
        Ok(Self { path, map, metadata, data: header + 8 })
    }
}

/// A relative path that stays below `dir`.
fn inside(dir: &Path, file: &str) -> Option<PathBuf> {
    let path = Path::new(file);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !file.is_empty()).then(|| dir.join(path))
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F64 => Some(Kind::Double),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
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
