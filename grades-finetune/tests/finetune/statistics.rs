//! The numbers of a comparison: means, spreads, paired differences, the order of the runs.

use grades_finetune::compare::{order, paired};
use grades_finetune::records::{Numbers, Quantity, mean, standard_deviation};
use proptest::prelude::*;

use crate::tolerance::FORMULA;

/// The size of the values that are drawn.
const SCALE: f64 = 1e3;

#[test]
fn means_and_spreads_are_those_of_a_table() {
    struct Case {
        values: &'static [f64],
        mean: Option<f64>,
        /// The sample standard deviation.
        spread: Option<f64>,
    }
    // From statistics.mean and statistics.stdev of Python 3.11.
    let cases = [
        Case { values: &[], mean: None, spread: None },
        Case { values: &[2.5], mean: Some(2.5), spread: None },
        Case { values: &[1.0, 4.0], mean: Some(2.5), spread: Some(2.121_320_343_559_642_4) },
        Case { values: &[0.887, 0.891, 0.889], mean: Some(0.889), spread: Some(0.002_000_000_000_000_001_8) },
        Case {
            values: &[651.0, 284.0, 382.0, 332.0],
            mean: Some(412.25),
            spread: Some(164.118_605_485_991_94),
        },
    ];
    for Case { values, mean: expected, spread } in cases {
        // Both are sums of terms as large as the values.
        let close = |found: Option<f64>, expected: Option<f64>| match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() <= FORMULA * values[0],
            (found, expected) => found == expected,
        };
        assert!(close(mean(values), expected), "{values:?}: {:?}", mean(values));
        assert!(close(standard_deviation(values), spread), "{values:?}: {:?}", standard_deviation(values));
    }
    assert_eq!(paired(&[]), None);
    assert_eq!(
        paired(&[(1.0, 4.0)]).map(|paired| (paired.mean, paired.standard_error, paired.n)),
        Some((-3.0, None, 1))
    );
}

#[test]
fn numbers_are_written_in_order_and_whole_ones_as_such() {
    let mut numbers = Numbers::default();
    for (quantity, value) in [
        (Quantity::EvalLoss, Some(0.25)),
        (Quantity::Steps, Some(651.0)),
        (Quantity::CostSeconds, None),
        (Quantity::TestLoss, Some(f64::NAN)),
        (Quantity::FlopsSaved, Some(1e18)),
    ] {
        numbers.set(quantity, value);
    }
    numbers.set(Quantity::EvalLoss, Some(0.5));
    let text = serde_json::to_string(&numbers).unwrap();
    assert_eq!(
        text,
        r#"{"steps":651,"cost_seconds":null,"eval_loss":0.5,"test_loss":null,"flops_saved":1e+18}"#
    );
    let found = [Quantity::EvalLoss, Quantity::CostSeconds, Quantity::Flops].map(|of| numbers.get(of));
    assert_eq!(found, [Some(0.5), None, None]);
    assert_eq!(serde_json::from_str::<Numbers>(&text).unwrap(), numbers, "and read back");
}

proptest! {
    #[test]
    fn a_shift_moves_the_mean_and_leaves_the_spread(values in prop::collection::vec(-SCALE..SCALE, 2..9), shift in -SCALE..SCALE) {
        let moved: Vec<f64> = values.iter().map(|value| value + shift).collect();
        let (before, after) = (mean(&values).unwrap(), mean(&moved).unwrap());
        prop_assert!((after - before - shift).abs() <= FORMULA * SCALE);
        let (before, after) = (standard_deviation(&values).unwrap(), standard_deviation(&moved).unwrap());
        prop_assert!((after - before).abs() <= FORMULA * SCALE);
    }

    #[test]
    fn pairs_take_out_what_seeds_have_in_common(
        seeds in prop::collection::vec(-SCALE..SCALE, 2..9),
        difference in -10.0..10.0f64,
    ) {
        // However far apart the seeds are, a constant difference has no error.
        let pairs: Vec<(f64, f64)> = seeds.iter().map(|seed| (seed + difference, *seed)).collect();
        let paired = paired(&pairs).unwrap();
        prop_assert!((paired.mean - difference).abs() <= FORMULA * SCALE);
        prop_assert!(paired.standard_error.unwrap() <= FORMULA * SCALE);
    }

    #[test]
    fn every_run_comes_once_and_seeds_after_one_another(rows in 1usize..9, seeds in 1usize..6) {
        let order = order(rows, seeds);
        prop_assert!(order.iter().map(|(_, seed)| seed).is_sorted());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        let all: Vec<(usize, usize)> = (0..rows).flat_map(|row| (0..seeds).map(move |seed| (row, seed))).collect();
        prop_assert_eq!(sorted, all);
        // No row is always the first one.
        if rows >= seeds {
            let mut first: Vec<usize> = order.iter().step_by(rows).map(|(row, _)| *row).collect();
            first.sort_unstable();
            first.dedup();
            prop_assert_eq!(first.len(), seeds);
        }
    }
}
