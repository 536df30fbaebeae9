//! The rows of one data set: batches of stored outputs, in which missing ones are computed.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use grades_models::Prefix;
use tch::{Device, Kind, Tensor};

use super::slots::Slots;

/// Computes the output of the lowest blocks, up to the last argument, for some rows of a batch: those at these positions, or
/// all; from token ids, or from the output of fewer blocks.
pub(crate) type Compute<'a> = dyn FnMut(Option<&Tensor>, Option<Prefix>, usize) -> Result<Prefix> + 'a;

/// The form of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Padded {
    /// The tokens of a row, with padding.
    pub(super) length: usize,
    /// The blocks whose output it is.
    pub(super) blocks: usize,
    pub(super) dtype: Kind,
    pub(super) device: Device,
}

/// The output of the lowest blocks for a batch, and what had to be computed for it.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) states: Tensor,
    /// Numbers of rows, each with the block from which on they were computed.
    pub(super) computed: Vec<(usize, usize)>,
}

/// The stored outputs of a data set.
#[derive(Debug)]
pub(super) struct RowCache {
    slots: Slots,
}

impl RowCache {
    pub(super) fn new(slots: Slots) -> Self {
        Self { slots }
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(super) fn slots_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// Returns whether the output of so many blocks is missing of one of these rows.
    pub(super) fn lacks(&self, rows: &[usize], blocks: usize) -> bool {
        rows.iter().any(|&row| self.slots.level(row) != blocks)
    }

    /// Returns the outputs for a batch of rows, padded with 0; those that are missing are computed and stored.
    ///
    /// Rows of which the same number of blocks is stored are computed together, in the order of the batch.
    pub(super) fn fetch(
        &mut self,
        rows: &[usize],
        padded: Padded,
        compute: &mut Compute<'_>,
    ) -> Result<Output> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, &row) in rows.iter().enumerate() {
            let level = self.slots.level(row);
            let level = if level > padded.blocks { 0 } else { level };
            groups.entry(level).or_default().push(place);
        }
        let (mut whole, mut computed): (Option<Tensor>, _) = (None, Vec::new());
        // The lowest level comes last: rows that turn out to be unreadable join it.
        while let Some((level, mut places)) = groups.pop_last() {
            let mut loaded = Vec::new();
            if level > 0 {
                let mut unreadable = Vec::new();
                for &place in &places {
                    match rows.get(place).map_or(Ok(None), |&row| self.slots.load(row))? {
                        Some(states) => loaded.push(states),
                        None => unreadable.push(place),
                    }
                }
                places.retain(|place| !unreadable.contains(place));
                groups.entry(0).or_default().extend(unreadable);
            }
            if places.is_empty() {
                continue;
            }
            places.sort_unstable();
            let all = places.len() == rows.len();
            let index = if all { None } else { Some(index(&places, padded.device)?) };
            let stored = if level > 0 { Some(pad(&loaded, padded)?) } else { None };
            let states = match stored {
                Some(states) if level == padded.blocks => states,
                stored => {
                    let from = stored.map(|states| Prefix { blocks: level, states });
                    let prefix = compute(index.as_ref(), from, padded.blocks)?;
                    computed.push((places.len(), level));
                    self.store(rows, &places, prefix.states, padded)?
                }
            };
            whole = Some(match (whole, index) {
                (_, None) => states,
                (None, Some(index)) => {
                    let mut size = states.size();
                    if let Some(count) = size.first_mut() {
                        *count = rows.len() as i64;
                    }
                    let whole = Tensor::f_zeros(&size, (padded.dtype, padded.device))?;
                    whole.f_index_copy(0, &index, &states)?
                }
                (Some(whole), Some(index)) => whole.f_index_copy(0, &index, &states)?,
            });
        }
        let states = whole.ok_or_else(|| anyhow::anyhow!("a batch without rows"))?;
        Ok(Output { states, computed })
    }

    /// Stores the outputs of the rows at these places; returns them as a later batch will have them.
    fn store(&mut self, rows: &[usize], places: &[usize], states: Tensor, padded: Padded) -> Result<Tensor> {
        let size = states.size();
        ensure!(
            size.len() == 3 && size[0] == places.len() as i64 && size[1] == padded.length as i64,
            "the outputs of {} rows of {} tokens have the shape {size:?}",
            places.len(),
            padded.length
        );
        // Rounded, where the storage rounds: a row has the same output whether it was stored or not.
        let rounded = states.f_to_kind(self.slots.dtype())?;
        let host = rounded.f_to_device(Device::Cpu)?;
        for (number, row) in places.iter().filter_map(|&place| rows.get(place)).enumerate() {
            let length = self.slots.length(*row) as i64;
            let own = host.f_get(number as i64)?.f_narrow(0, 0, length)?;
            self.slots.store(*row, &own, padded.blocks)?;
        }
        Ok(rounded.f_to_kind(padded.dtype)?)
    }
}

/// Makes a batch of the outputs of rows, on the device.
fn pad(rows: &[Tensor], padded: Padded) -> Result<Tensor> {
    let first = rows.first().ok_or_else(|| anyhow::anyhow!("a batch without rows"))?;
    let width = first.size().last().copied().unwrap_or(0);
    let size = [rows.len() as i64, padded.length as i64, width];
    let batch = Tensor::f_zeros(size, (first.f_kind()?, Device::Cpu))?;
    for (number, states) in rows.iter().enumerate() {
        let length = states.size().first().copied().unwrap_or(0);
        batch.f_get(number as i64)?.f_narrow(0, 0, length)?.f_copy_(states)?;
    }
    Ok(batch.f_to_device(padded.device)?.f_to_kind(padded.dtype)?)
}

/// Positions in a batch as a tensor.
fn index(places: &[usize], device: Device) -> Result<Tensor> {
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    Ok(Tensor::f_from_slice(&places)?.f_to_device(device)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::cache::slots::Limits;

    const WIDTH: usize = 3;

    /// The output of `blocks` blocks for a token: small whole numbers, which every dtype here has.
    fn state(row: usize, token: usize, blocks: usize) -> f32 {
        (row * 7 + token * 3) as f32 * 2.0 + blocks as f32
    }

    fn cache(lengths: &[usize], limits: Limits, dtype: Kind, folder: &Path) -> RowCache {
        RowCache::new(Slots::new(lengths, WIDTH, dtype, limits, folder.to_owned()))
    }

    /// Fetches a batch from a model that adds 1 a block, and compares every token with a whole pass.
    fn fetch(
        cache: &mut RowCache,
        lengths: &[usize],
        rows: &[usize],
        blocks: usize,
        dtype: Kind,
    ) -> Vec<(usize, usize)> {
        let length = rows.iter().map(|&row| lengths[row]).max().unwrap();
        let padded = Padded { length, blocks, dtype, device: Device::Cpu };
        let compute = &mut |places: Option<&Tensor>, from: Option<Prefix>, blocks: usize| {
            let places = match places {
                Some(places) => Vec::<i64>::try_from(places)?,
                None => (0..rows.len() as i64).collect(),
            };
            let states = match from {
                Some(from) => from.states + (blocks - from.blocks) as f64,
                None => {
                    let values: Vec<f32> = places
                        .iter()
                        .flat_map(|&place| {
                            let row = rows[place as usize];
                            (0..length).flat_map(move |token| [state(row, token, blocks); WIDTH])
                        })
                        .collect();
                    let size = [places.len() as i64, length as i64, WIDTH as i64];
                    Tensor::from_slice(&values).view(size).to_kind(dtype)
                }
            };
            assert_eq!(states.size()[0], places.len() as i64);
            Ok(Prefix { blocks, states })
        };
        let output = cache.fetch(rows, padded, compute).unwrap();
        assert_eq!(output.states.size(), [rows.len() as i64, length as i64, WIDTH as i64]);
        assert_eq!(output.states.kind(), dtype);
        for (place, &row) in rows.iter().enumerate() {
            for token in 0..lengths[row] {
                for column in 0..WIDTH {
                    let found = output.states.double_value(&[place as i64, token as i64, column as i64]);
                    assert_eq!(found, f64::from(state(row, token, blocks)), "row {row}, token {token}");
                }
            }
        }
        assert!(bool::try_from(output.states.isfinite().all()).unwrap(), "padding too");
        output.computed
    }

    /// Batches of different rows, and growths and falls of the prefix.
    fn batches() -> impl Strategy<Value = Vec<(Vec<prop::sample::Index>, usize)>> {
        prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 1..6), 1..5usize), 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Wherever rows are stored, if at all, and in whatever order they come, a batch has the outputs of a whole pass; what
        /// is stored is within the limits and not computed again.
        #[test]
        fn a_batch_has_the_outputs_of_a_whole_pass(
            lengths in prop::collection::vec(1..7usize, 1..9), batches in batches(), memory in 0..40usize, file in 0..40usize,
            bf16: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            // Half of the bits are enough for these numbers.
            let dtype = if bf16 { Kind::BFloat16 } else { Kind::Float };
            let limits = Limits { memory, file };
            let mut cache = cache(&lengths, limits, dtype, dir.path());
            let mut known = vec![0; lengths.len()];
            for (rows, blocks) in batches {
                let mut rows: Vec<usize> = rows.iter().map(|row| row.index(lengths.len())).collect();
                rows.sort_unstable();
                rows.dedup();
                cache.slots_mut().limit(blocks);
                known.iter_mut().for_each(|level| if *level > blocks { *level = 0 });
                let computed = fetch(&mut cache, &lengths, &rows, blocks, Kind::Float);
                let mut expected = vec![0; 5];
                for &row in &rows {
                    if known[row] != blocks {
                        expected[known[row]] += 1;
                    }
                    known[row] = cache.slots().level(row);
                    prop_assert!(known[row] == blocks || known[row] == 0);
                }
                let mut found = vec![0; 5];
                computed.iter().for_each(|&(rows, from)| found[from] += rows);
                prop_assert_eq!(found, expected);
                prop_assert_eq!(cache.lacks(&rows, blocks), rows.iter().any(|&row| known[row] == 0));
                let size = (WIDTH * dtype.elt_size_in_bytes()) as u64;
                let [in_memory, in_file] = cache.slots().bytes();
                prop_assert!(in_memory <= memory as u64 * size && in_file <= file as u64 * size);
                let stored: usize = (0..lengths.len()).filter(|&row| known[row] > 0).map(|row| lengths[row]).sum();
                prop_assert_eq!(in_memory + in_file, stored as u64 * size);
            }
            prop_assert!(cache.slots().failure().is_none());
        }
    }

    #[test]
    fn rows_of_a_file_that_cannot_be_written_are_computed_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let lengths = [2, 3, 4];
        let limits = Limits { memory: 2, file: 100 };
        let mut cache = cache(&lengths, limits, Kind::Float, &dir.path().join("gone"));
        let mut computed = || fetch(&mut cache, &lengths, &[2, 0, 1], 1, Kind::Float);
        assert_eq!(computed(), [(3, 0)]);
        assert_eq!(computed(), [(2, 0)], "the row in main memory is stored");
        let failure = cache.slots().failure().unwrap();
        assert!(failure.contains("gone"), "{failure}");
        assert_eq!(cache.slots().bytes(), [24, 0]);
    }

    #[test]
    fn what_the_storage_rounds_is_rounded_before_it_is_stored_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = cache(&[2], Limits { memory: 2, file: 0 }, Kind::BFloat16, dir.path());
        let padded = Padded { length: 2, blocks: 1, dtype: Kind::Float, device: Device::Cpu };
        let exact = Tensor::randn([1, 2, WIDTH as i64], (Kind::Float, Device::Cpu));
        let compute = &mut |_: Option<&Tensor>, _: Option<Prefix>, blocks: usize| {
            Ok(Prefix { blocks, states: exact.shallow_clone() })
        };
        let first = cache.fetch(&[0], padded, compute).unwrap();
        let second = cache.fetch(&[0], padded, compute).unwrap();
        assert_eq!((first.computed.len(), second.computed.len()), (1, 0));
        assert_eq!(first.states, second.states);
        assert_ne!(first.states, exact);
    }

    #[test]
    fn rows_that_are_marked_are_stored_until_they_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = cache(&[2, 2, 2], Limits { memory: 4, file: 0 }, Kind::Float, dir.path());
        for row in 0..3 {
            cache.slots_mut().mark(row, 2);
        }
        assert!(!cache.lacks(&[0, 1], 2) && cache.lacks(&[2], 2));
        cache.slots_mut().limit(1);
        assert!(cache.lacks(&[0], 2));
        assert_eq!(cache.slots().bytes(), [0, 0]);
    }
}
