//! Tokenized examples, and batches of them as tensors.

use tch::{Device, Tensor};

use super::error::{Error, Result};
use super::labels::Labels;
use super::record::Records;
use super::tokenizer::Tokenizer;

/// Tokenized examples in one piece of memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    ids: Vec<u32>,
    /// Example `i` is `ids[ends[i - 1]..ends[i]]`.
    ends: Vec<usize>,
    /// The segment of each token; empty where all are in segment 0.
    types: Vec<u8>,
    labels: Vec<i64>,
    truncated: usize,
    pad_id: u32,
}

/// A batch on its device; every row is padded to the longest.
#[derive(Debug)]
pub struct Batch {
    /// Token ids `[B, T]`, i64.
    pub ids: Tensor,
    /// 1 for a token, 0 for padding: `[B, T]`, i64.
    pub mask: Tensor,
    /// Segment ids `[B, T]`, i64, of pairs; `None` where all tokens are in segment 0.
    pub types: Option<Tensor>,
    /// Label ids `[B]`, i64.
    pub labels: Tensor,
    /// The number of tokens, without padding.
    pub tokens: usize,
}

impl Dataset {
    /// The label id of an example without a label, which losses leave out.
    pub const IGNORED: i64 = -100;

    /// Tokenizes all examples and looks up their labels.
    ///
    /// # Errors
    ///
    /// [`Error::Line`] for a label that is not among `labels`, or a sentence with a token that the model does
    /// not have; [`Error::File`] when the tokenizer fails.
    pub fn new(records: &Records, labels: &Labels, tokenizer: &Tokenizer) -> Result<Self> {
        let label_ids = records.list.iter().map(|record| labels.of(records, record));
        Self::tokenized(records, label_ids.collect::<Result<_>>()?, tokenizer)
    }

    /// Tokenizes texts without labels; their label id is [`IGNORED`](Self::IGNORED).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), but for labels.
    pub fn unlabelled(records: &Records, tokenizer: &Tokenizer) -> Result<Self> {
        Self::tokenized(records, vec![Self::IGNORED; records.list.len()], tokenizer)
    }

    fn tokenized(records: &Records, labels: Vec<i64>, tokenizer: &Tokenizer) -> Result<Self> {
        // A part of the file at a time: the tokenizer's own results are many times larger than the ids.
        const PART: usize = 4096;
        let mut set = Self {
            ids: Vec::new(),
            types: Vec::new(),
            ends: Vec::with_capacity(records.list.len()),
            labels,
            truncated: 0,
            pad_id: tokenizer.pad_id(),
        };
        for part in records.list.chunks(PART) {
            let texts = part.iter().map(|record| (record.text.as_str(), record.pair.as_deref())).collect();
            for (record, tokens) in part.iter().zip(tokenizer.encode_batch(texts)?) {
                let tokens =
                    tokens.map_err(|error| Error::line(&records.path, record.line, error.to_string()))?;
                if tokens.ids.is_empty() {
                    return Err(Error::line(&records.path, record.line, "the text has no tokens"));
                }
                if !tokens.types.is_empty() {
                    set.types.resize(set.ids.len(), 0);
                    set.types.extend_from_slice(&tokens.types);
                }
                set.ids.extend_from_slice(&tokens.ids);
                set.ends.push(set.ids.len());
                set.truncated += usize::from(tokens.truncated);
            }
        }
        if !set.types.is_empty() {
            set.types.resize(set.ids.len(), 0);
        }
        Ok(set)
    }

    /// Returns the number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Returns the number of sentences that were cut to the longest sequence.
    pub fn truncated(&self) -> usize {
        self.truncated
    }

    /// Returns the token ids of example `index`, if there is one.
    pub fn tokens(&self, index: usize) -> Option<&[u32]> {
        self.ids.get(self.range(index)?)
    }

    /// Returns the segments of the tokens of example `index`; empty where all examples are in segment 0.
    pub fn types(&self, index: usize) -> &[u8] {
        self.range(index).and_then(|range| self.types.get(range)).unwrap_or_default()
    }

    /// Returns the number of segments, counted from 0 to the last one that occurs.
    pub fn segments(&self) -> usize {
        usize::from(self.types.iter().copied().max().unwrap_or(0)) + 1
    }

    fn range(&self, index: usize) -> Option<std::ops::Range<usize>> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        Some(start..end)
    }

    /// Returns the label id of example `index`, if there is one.
    pub fn label(&self, index: usize) -> Option<i64> {
        self.labels.get(index).copied()
    }

    /// Returns the label ids of all examples.
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// Returns the number of tokens of every example.
    pub fn lengths(&self) -> Vec<usize> {
        let starts = std::iter::once(&0).chain(&self.ends);
        self.ends.iter().zip(starts).map(|(end, start)| end - start).collect()
    }

    /// Makes tensors of the examples at `indices`, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for an empty batch or an index beyond the data, [`Error::Torch`] when the device
    /// has no room.
    pub fn collate(&self, indices: &[usize], device: Device) -> Result<Batch> {
        let rows = indices.iter().map(|&index| {
            self.tokens(index).zip(self.label(index)).ok_or_else(|| {
                Error::Input(format!("example {index} of a dataset with {} examples", self.len()))
            })
        });
        let rows: Vec<(&[u32], i64)> = rows.collect::<Result<_>>()?;
        let longest = rows.iter().map(|(tokens, _)| tokens.len()).max();
        let longest = longest.ok_or_else(|| Error::Input("a batch without examples".into()))?;
        let mut ids = vec![i64::from(self.pad_id); rows.len() * longest];
        let mut mask = vec![0i64; ids.len()];
        for (row, (ids, mask)) in rows.iter().zip(ids.chunks_mut(longest).zip(mask.chunks_mut(longest))) {
            for (token, (id, seen)) in row.0.iter().zip(ids.iter_mut().zip(mask)) {
                *id = i64::from(*token);
                *seen = 1;
            }
        }
        let mut types = vec![0i64; if self.types.is_empty() { 0 } else { ids.len() }];
        for (&index, row) in indices.iter().zip(types.chunks_mut(longest)) {
            for (segment, place) in self.types(index).iter().zip(row) {
                *place = i64::from(*segment);
            }
        }
        let labels: Vec<i64> = rows.iter().map(|(_, label)| *label).collect();
        let width = i64::try_from(longest).map_err(|_| Error::Input("a sequence too long".into()))?;
        let matrix = |values: &[i64]| Tensor::f_from_slice(values)?.f_view([-1, width])?.f_to_device(device);
        Ok(Batch {
            ids: matrix(&ids)?,
            mask: matrix(&mask)?,
            types: if types.is_empty() { None } else { Some(matrix(&types)?) },
            labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
            tokens: rows.iter().map(|(tokens, _)| tokens.len()).sum(),
        })
    }
}
