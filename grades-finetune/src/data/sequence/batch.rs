//! Sequences to tensors.

use tch::{Device, Tensor};

use super::packing::pack;
use super::sequences::Sequence;
use crate::data::error::{Error, Result};
use grades_models::decoder::{Packed, Targets, Tokens};

/// A batch on its device.
#[derive(Debug)]
pub struct SequenceBatch {
    /// The tokens, padded at the end.
    pub tokens: Tokens,
    /// The tokens to predict.
    pub targets: Targets,
    /// The number of tokens, without padding.
    pub token_count: usize,
}

/// Builds the rows of sequences of these lengths: several in each where `packed_to` says how long a row may be, else one.
pub fn rows(lengths: &[usize], packed_to: Option<usize>) -> Vec<Vec<usize>> {
    match packed_to {
        Some(longest) => pack(lengths, longest),
        None => (0..lengths.len()).map(|index| vec![index]).collect(),
    }
}

/// Makes tensors of rows, each of one or several sequences.
///
/// # Errors
///
/// [`Error::Input`] for a batch without sequences or targets, [`Error::Torch`] when the device has no room.
pub fn collate(rows: &[Vec<&Sequence>], device: Device) -> Result<SequenceBatch> {
    let length = |row: &Vec<&Sequence>| row.iter().map(|sequence| sequence.ids.len()).sum::<usize>();
    let width = rows.iter().map(length).max().filter(|&width| width > 0);
    let width = width.ok_or_else(|| Error::Input("a batch without sequences".into()))?;
    let packed = rows.iter().any(|row| row.len() > 1);
    let size = rows.len() * width;
    let (mut ids, mut positions, mut segments) = (vec![0i64; size], vec![0i64; size], vec![-1i64; size]);
    let (mut at, mut targets) = (Vec::new(), Vec::new());
    for (row, sequences) in rows.iter().enumerate() {
        let mut start = row * width;
        for (number, sequence) in (0i64..).zip(sequences) {
            for ((position, &id), place) in (0i64..).zip(&sequence.ids).zip(start..) {
                if let (Some(ids), Some(positions), Some(segments)) =
                    (ids.get_mut(place), positions.get_mut(place), segments.get_mut(place))
                {
                    (*ids, *positions, *segments) = (i64::from(id), position, number);
                }
            }
            for target in sequence.targets.iter().cloned().flatten() {
                if let (Some(before), Some(&id)) = (target.checked_sub(1), sequence.ids.get(target)) {
                    // Positions in a batch are far fewer than i64 counts.
                    at.push((start + before) as i64);
                    targets.push(i64::from(id));
                }
            }
            start += sequence.ids.len();
        }
    }
    if targets.is_empty() {
        return Err(Error::Input("a batch in which nothing is to be predicted".into()));
    }
    let width = i64::try_from(width).map_err(|_| Error::Input("a row too long".into()))?;
    let matrix = |values: &[i64]| Tensor::f_from_slice(values)?.f_view([-1, width])?.f_to_device(device);
    let packed = if packed {
        Some(Packed { segments: matrix(&segments)?, positions: matrix(&positions)? })
    } else {
        None
    };
    Ok(SequenceBatch {
        tokens: Tokens { ids: matrix(&ids)?, packed, prefix: None },
        targets: Targets {
            positions: Tensor::f_from_slice(&at)?.f_to_device(device)?,
            ids: Tensor::f_from_slice(&targets)?.f_to_device(device)?,
        },
        token_count: rows.iter().map(length).sum(),
    })
}
