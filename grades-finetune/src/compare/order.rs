//! The order of the runs.

/// Orders the runs, as pairs of positions of a variant and a seed: seed after seed, the variants rotated further with each.
///
/// ```
/// use grades_finetune::compare::order;
///
/// assert_eq!(order(3, 3), [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (0, 1), (2, 2), (0, 2), (1, 2)]);
/// ```
pub fn order(variants: usize, seeds: usize) -> Vec<(usize, usize)> {
    let step = (variants / seeds.max(1)).max(1);
    let variant = |index: usize, seed: usize| (index + seed * step) % variants.max(1);
    (0..seeds).flat_map(|seed| (0..variants).map(move |index| (variant(index, seed), seed))).collect()
}
