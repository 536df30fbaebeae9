//! The share of an evaluation that one process makes.

use std::fmt;

use anyhow::Result;

/// Sums numbers over the processes of a run.
pub(crate) trait Ranks: fmt::Debug {
    /// Returns the number of this process, from 0.
    fn rank(&self) -> usize;

    /// Returns the number of processes.
    fn world(&self) -> usize;

    /// Returns whether the batch of this index, within a step or an evaluation, is this process's.
    fn owns(&self, index: usize) -> bool {
        index % self.world() == self.rank()
    }

    /// Sums numbers over all processes.
    fn sum(&self, numbers: &mut [f64]) -> Result<()>;
}

/// The share of an evaluation that one process makes: every batch is that of one process, all of them together are those of a
/// run of one, and each number that a batch gives comes to all.
pub(crate) struct Share<'a> {
    ranks: Option<&'a dyn Ranks>,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Share<'a> {
    /// Makes the share of this process among `ranks`, or that of all where there is one; `stop` is asked before each batch.
    pub(crate) fn new(ranks: Option<&'a dyn Ranks>, stop: &'a dyn Fn() -> bool) -> Self {
        Self { ranks, stop }
    }

    /// Returns whether the batch of this index is this process's.
    pub(super) fn owns(&self, index: usize) -> bool {
        self.ranks.is_none_or(|ranks| ranks.owns(index))
    }

    /// Returns whether the evaluation goes on with the batch of this index. All processes ask about every batch, in order; the
    /// answer is the same for all, and is no where any was asked to end.
    pub(super) fn goes_on(&self, index: usize) -> Result<bool> {
        let Some(ranks) = self.ranks else { return Ok(!(self.stop)()) };
        if !index.is_multiple_of(ranks.world()) {
            return Ok(true);
        }
        let mut stopped = [f64::from(u8::from((self.stop)()))];
        ranks.sum(&mut stopped)?;
        Ok(stopped[0] == 0.0)
    }

    /// Returns whether a batch under way may be given up: with several processes all end between two batches.
    pub(super) fn stops_within_a_batch(&self) -> bool {
        self.ranks.is_none() && (self.stop)()
    }

    /// Completes numbers of which each process has computed those of its batches and left the others 0. They get no other bits
    /// by that, since nothing but zeros is added to them.
    pub(super) fn gather(&self, numbers: &mut [f64]) -> Result<()> {
        self.ranks.map_or(Ok(()), |ranks| ranks.sum(numbers))
    }

    /// Sums a whole number over all processes.
    pub(super) fn sum(&self, number: u128) -> Result<u128> {
        // Each part is exact in an f64, and so is its sum.
        const BITS: u32 = 40;
        let part = |index: u32| ((number >> (index * BITS)) & ((1 << BITS) - 1)) as f64;
        let mut parts = [part(0), part(1), part(2)];
        self.gather(&mut parts)?;
        Ok(parts.iter().rev().fold(0, |sum, part| (sum << BITS) + *part as u128))
    }
}

impl fmt::Debug for Share<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("ranks", &self.ranks).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Twins;

    impl Ranks for Twins {
        fn rank(&self) -> usize {
            1
        }

        fn world(&self) -> usize {
            2
        }

        fn sum(&self, numbers: &mut [f64]) -> Result<()> {
            numbers.iter_mut().for_each(|number| *number *= 2.0);
            Ok(())
        }
    }

    #[test]
    fn batches_have_one_process_and_sums_are_exact() {
        let share = Share::new(Some(&Twins), &|| true);
        assert_eq!([0, 1, 2, 3].map(|index| share.owns(index)), [false, true, false, true]);
        // The first of each round asks all.
        assert!(!share.goes_on(0).unwrap() && share.goes_on(1).unwrap() && !share.goes_on(2).unwrap());
        assert!(!share.stops_within_a_batch());
        let number = 0x1234_5678_9abc_def0_1234_5678_u128;
        assert_eq!(share.sum(number).unwrap(), 2 * number);
        let alone = Share::new(None, &|| false);
        assert!(alone.owns(5) && alone.goes_on(5).unwrap());
        assert_eq!(alone.sum(number).unwrap(), number);
    }
}
