//! Named tensors in a safetensors file of their own.

use std::path::Path;

use tch::Tensor;

use super::atomic::AtomicFile;
use super::weights::Weights;
use super::write::{Entry, write_tensors};
use crate::error::{Error, Result};

/// Writes tensors to a file, and flushes it to the disk.
///
/// # Errors
///
/// [`Error::Write`] naming the file that could not be written, [`Error::Torch`] when a tensor cannot be read.
pub fn write_file(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let entry = |(name, tensor): &(String, Tensor)| Entry::whole(name.clone(), tensor.shallow_clone());
    let mut entries: Vec<Entry> = tensors.iter().map(entry).collect();
    entries.sort_by(|a, b| a.name().cmp(b.name()));
    let mut file = AtomicFile::create(path).map_err(Error::Write)?;
    write_tensors(&mut file, &entries)?;
    file.stage().and_then(|staged| staged.commit()).map_err(Error::Write)
}

/// Copies the tensors of a file over those of the same names, shapes and dtypes. The file must have just these.
///
/// # Errors
///
/// The errors of reading, and [`Error::Input`] for another dtype or a tensor that is not among `targets`.
pub fn read_file(path: &Path, targets: Vec<(String, Tensor)>) -> Result<()> {
    let file = Weights::open_file(path.to_path_buf())?;
    for (name, target) in &targets {
        file.check_shape(name, &target.size())?;
        file.check_kind(name, target.f_kind()?)?;
    }
    let count = file.names().count();
    if count != targets.len() {
        let known = |name: &&str| !targets.iter().any(|(target, _)| target == name);
        let extra = file.names().find(known).unwrap_or_default().to_owned();
        return Err(Error::Input(format!("{}: \"{extra}\" is not a tensor of this model", path.display())));
    }
    let _no_grad = tch::no_grad_guard();
    for (name, mut target) in targets {
        file.copy_into(&name, &mut target)?;
    }
    Ok(())
}
