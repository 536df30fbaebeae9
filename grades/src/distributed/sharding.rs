//! Which rank has the optimizer state of which parameter.

/// The part of a run's memory that is divided over the ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sharding {
    /// None: every rank has all of it.
    #[default]
    None,
    /// The optimizer's state, master copies of weights, and summed gradients. Each parameter has one owner: its gradient is
    /// summed there, the owner updates it, and sends the weight to all ranks.
    Optimizer,
}

/// Returns the owner of each parameter, given the bytes of each.
///
/// The largest parameters come first, each to the rank that has the fewest bytes so far, the lowest of several. It depends on
/// the parameters and the number of ranks alone, so that a resumed run has the same owners. A freeze changes none: the most
/// memory is needed before it, and a state would have to travel.
pub(super) fn owners(bytes: &[u64], world: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..bytes.len()).collect();
    order.sort_by_key(|index| (std::cmp::Reverse(bytes[*index]), *index));
    let mut loads = vec![0u64; world.max(1)];
    let mut owners = vec![0; bytes.len()];
    for index in order {
        let least = loads.iter().enumerate().min_by_key(|(rank, load)| (**load, *rank));
        let rank = least.map_or(0, |(rank, _)| rank);
        loads[rank] += bytes[index];
        owners[index] = rank;
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_about_the_same_bytes() {
        assert_eq!(owners(&[5, 5, 5], 1), [0, 0, 0]);
        assert_eq!(owners(&[1, 4, 4, 1], 2), [0, 0, 1, 1]);
        assert_eq!(owners(&[], 3), [0; 0]);
        // More ranks than parameters.
        assert_eq!(owners(&[2, 3], 4), [1, 0]);
        // A model of blocks with an embedding that is larger than a block.
        let block = [100u64, 25, 25, 100, 300, 300, 300, 1, 1];
        let bytes: Vec<u64> = std::iter::once(2000).chain(block.repeat(24)).collect();
        for world in 2..=8 {
            let mut loads = vec![0; world];
            owners(&bytes, world).iter().zip(&bytes).for_each(|(rank, bytes)| loads[*rank] += bytes);
            let mean = bytes.iter().sum::<u64>() as f64 / world as f64;
            assert!(loads.iter().all(|load| (*load as f64 - mean).abs() < 0.02 * mean), "{world}: {loads:?}");
        }
    }
}
