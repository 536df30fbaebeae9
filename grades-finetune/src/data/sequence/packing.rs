//! Several sequences in a row.

/// Puts sequences of these lengths into rows of at most `longest` tokens: the longest first, each into the fullest row
/// that has room (best fit decreasing). Sequences of a row are in the order of their numbers.
pub(super) fn pack(lengths: &[usize], longest: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths.get(index).copied().unwrap_or(0)));
    let mut rows: Vec<Vec<usize>> = Vec::new();
    // Free tokens, then the row's number: the first at or above a length is the fullest that fits.
    let mut free: std::collections::BTreeSet<(usize, usize)> = std::collections::BTreeSet::new();
    for index in order {
        let length = lengths.get(index).copied().unwrap_or(0);
        let found = free.range((length, 0)..).next().copied();
        let (room, row) = match found {
            Some(entry) => {
                free.remove(&entry);
                entry
            }
            None => {
                rows.push(Vec::new());
                (longest.max(length), rows.len() - 1)
            }
        };
        if let Some(row) = rows.get_mut(row) {
            row.push(index);
        }
        free.insert((room - length, row));
    }
    for row in &mut rows {
        row.sort_unstable();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::pack;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_sequence_is_in_one_row_and_no_row_is_too_long(lengths in prop::collection::vec(1usize..20, 1..60)) {
            let rows = pack(&lengths, 20);
            let mut all: Vec<usize> = rows.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            let sums: Vec<usize> = rows.iter().map(|row| row.iter().map(|&index| lengths[index]).sum()).collect();
            prop_assert!(sums.iter().all(|&sum| sum <= 20));
            // Two rows that would fit into one are a row too many.
            let half_empty = sums.iter().filter(|&&sum| sum <= 10).count();
            prop_assert!(half_empty <= 1, "{:?}", sums);
        }
    }
}
