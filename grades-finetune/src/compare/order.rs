//! Which run comes when.

/// The runs as (row, seed) by their positions: seed after seed, the rows rotated further with each.
///
/// ```
/// use grades_finetune::compare::order;
///
/// assert_eq!(order(3, 3), [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (0, 1), (2, 2), (0, 2), (1, 2)]);
/// ```
pub fn order(rows: usize, seeds: usize) -> Vec<(usize, usize)> {
    let step = (rows / seeds.max(1)).max(1);
    let row = |place: usize, seed: usize| (place + seed * step) % rows.max(1);
    (0..seeds).flat_map(|seed| (0..rows).map(move |place| (row(place, seed), seed))).collect()
}
