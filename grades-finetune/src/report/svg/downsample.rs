//! Fewer points than there are steps, so that a long run's page stays small.

/// Picks at most `most` positions of `count`, evenly spread, the first and the last among them.
pub(crate) fn evenly(count: usize, most: usize) -> Vec<usize> {
    if count <= most.max(2) {
        return (0..count).collect();
    }
    let last = (count - 1) as f64;
    let gaps = (most.max(2) - 1) as f64;
    let mut places: Vec<usize> =
        (0..most.max(2)).map(|place| (place as f64 * last / gaps).round() as usize).collect();
    places.dedup();
    places
}

/// Several values as one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// The middle of the places.
    pub(crate) x: f64,
    /// The mean of the finite values; NaN when there is none.
    pub(crate) mean: f64,
    /// The smallest.
    pub(crate) low: f64,
    /// The largest.
    pub(crate) high: f64,
}

/// Returns at most `most` buckets of points that follow each other.
pub(crate) fn buckets(points: &[(f64, f64)], most: usize) -> Vec<Bucket> {
    let size = points.len().div_ceil(most.max(1)).max(1);
    points
        .chunks(size)
        .map(|chunk| {
            let x = (chunk[0].0 + chunk[chunk.len() - 1].0) / 2.0;
            let finite = chunk.iter().map(|point| point.1).filter(|value| value.is_finite());
            let (count, sum, low, high) = finite.fold(
                (0.0, 0.0, f64::NAN, f64::NAN),
                |(count, sum, low, high): (f64, f64, f64, f64), value| {
                    (count + 1.0, sum + value, value.min(low), value.max(high))
                },
            );
            Bucket { x, mean: sum / count, low, high }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_finite_counts_for_nothing() {
        let found = buckets(&[(1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0), (4.0, f64::INFINITY)], 2);
        assert_eq!((found[0].x, found[0].mean, found[0].low, found[0].high), (1.5, 2.0, 2.0, 2.0));
        assert_eq!((found[1].mean, found[1].high), (4.0, 4.0));
        assert!(buckets(&[(1.0, f64::NAN)], 3)[0].mean.is_nan());
        assert_eq!(buckets(&[], 3), []);
    }

    proptest! {
        #[test]
        fn ends_are_kept_and_the_rest_is_spread(count in 0usize..5000, most in 2usize..400) {
            let places = evenly(count, most);
            prop_assert!(places.len() <= most.max(2));
            prop_assert_eq!(places.first().copied(), (count > 0).then_some(0));
            prop_assert_eq!(places.last().copied(), count.checked_sub(1));
            prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn buckets_cover_all(values in prop::collection::vec(-1e3..1e3f64, 1..500), most in 1usize..60) {
            let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
            let found = buckets(&points, most);
            prop_assert!(found.len() <= most);
            let low = found.iter().map(|bucket| bucket.low).fold(f64::INFINITY, f64::min);
            let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert_eq!(low, lowest);
            prop_assert!(found.iter().all(|b| b.low <= b.mean + 1e-9 && b.mean <= b.high + 1e-9));
        }
    }
}
