//! Copies of tensors, from which changes are measured.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::parameters::ParamId;
use crate::torch::{byte_len, gradients};

/// Copies of tensors, from which changes are measured.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// By parameter; empty when nothing is copied.
    list: Vec<Option<Tensor>>,
}

impl Copies {
    /// Creates space for copies of `parameters` tensors.
    pub(super) fn new(parameters: usize) -> Self {
        Self { list: (0..parameters).map(|_| None).collect() }
    }

    /// Returns the L1 norms of the changes since the last call, `None` where there was no copy, and replaces the copies.
    pub(super) fn deltas(&mut self, tensors: &[(ParamId, Tensor)]) -> Result<Vec<Option<f64>>> {
        let mut found = vec![None; self.list.len()];
        if self.list.is_empty() {
            return Ok(found);
        }
        let _no_grad = tch::no_grad_guard();
        let failed = |error: tch::TchError| Error::torch("measuring a change", &error);
        let mut changes = Vec::new();
        for (id, tensor) in tensors {
            let copy = &mut self.list[id.index()];
            match copy {
                Some(copy) => {
                    changes.push((id, upcast(tensor).and_then(|tensor| tensor.f_sub(copy)).map_err(failed)?));
                    copy.f_copy_(tensor).map_err(failed)?;
                }
                None => *copy = Some(copied(tensor).map_err(failed)?),
            }
        }
        let differences: Vec<&Tensor> = changes.iter().map(|(_, change)| change).collect();
        for ((id, _), sums) in changes.iter().zip(gradients::sums_of_tensors(&differences)?) {
            found[id.index()] = Some(sums.absolute);
        }
        Ok(found)
    }

    /// Returns handles to the copies.
    pub(super) fn state(&self) -> Vec<(ParamId, Tensor)> {
        let copies = self.list.iter().enumerate();
        copies
            .filter_map(|(index, copy)| Some((ParamId::new(index), copy.as_ref()?.shallow_clone())))
            .collect()
    }

    /// Returns the same space with what [`state`](Self::state) returned, or why it does not fit.
    pub(super) fn restored(&self, copies: Vec<(ParamId, Tensor)>) -> Result<Self, String> {
        let mut restored = Self::new(self.list.len());
        for (id, copy) in copies {
            match restored.list.get_mut(id.index()) {
                Some(entry) => *entry = Some(copy),
                None => return Err("it has copies of tensors that no policy reads here".to_owned()),
            }
        }
        Ok(restored)
    }

    /// Drops all copies; the next change is measured from new ones.
    pub(super) fn clear(&mut self) {
        self.list.iter_mut().for_each(|copy| *copy = None);
    }

    pub(super) fn forget(&mut self, id: ParamId) {
        if let Some(copy) = self.list.get_mut(id.index()) {
            *copy = None;
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().flatten().map(byte_len).sum()
    }
}

/// Copies a tensor, without shared memory.
fn copied(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    let mut copy = tensor.f_detach()?.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

/// Converts f16 and bf16 to f32: a difference may be out of the range of f16.
fn upcast(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => tensor.f_to_kind(Kind::Float),
        _ => Ok(tensor.shallow_clone()),
    }
}
