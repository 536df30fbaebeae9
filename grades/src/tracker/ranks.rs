//! Ranks scores.

/// Returns for each score the number of lower ones; equal scores are ordered by position. A score that is absent or not
/// finite has no rank.
pub(super) fn ranks(scores: impl Iterator<Item = Option<f64>>) -> Vec<Option<usize>> {
    let scores: Vec<Option<f64>> = scores.collect();
    let mut order: Vec<(f64, usize)> = scores
        .iter()
        .enumerate()
        .filter_map(|(index, score)| Some((score.filter(|score| score.is_finite())?, index)))
        .collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let mut ranks = vec![None; scores.len()];
    for (rank, (_, index)) in order.into_iter().enumerate() {
        ranks[index] = Some(rank);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::ranks;

    #[test]
    fn scores_are_ranked_and_ties_go_by_position() {
        let scores = [Some(3.0), None, Some(1.0), Some(f64::NAN), Some(1.0), Some(-2.0)];
        assert_eq!(ranks(scores.into_iter()), [Some(3), None, Some(1), None, Some(2), Some(0)]);
    }
}
