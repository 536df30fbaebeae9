//! Laws of metrics; their values are compared with scikit-learn and scipy in the interop tests.

use grades_finetune::metrics::{ConfusionMatrix, mean_squared_error, pearson, spearman};
use proptest::prelude::*;

use crate::tolerance::{FORMULA, assert_number_within};

fn matrix(labels: usize, examples: &[(usize, usize)]) -> ConfusionMatrix {
    let mut matrix = ConfusionMatrix::new(labels);
    for &(label, predicted) in examples {
        matrix.add(label, predicted);
    }
    matrix
}

const LABELS: usize = 4;

fn examples() -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((0..LABELS, 0..LABELS), 1..60)
}

fn numbers() -> impl Strategy<Value = Vec<(f64, f64)>> {
    // Few values, so that many are equal.
    prop::collection::vec(
        (-4i8..4, -4i8..4).prop_map(|(one, other)| (f64::from(one), f64::from(other))),
        2..40,
    )
}

proptest! {
    #[test]
    fn parts_merge_to_the_whole(examples in examples(), cut in 0usize..60) {
        let (one, other) = examples.split_at(cut.min(examples.len()));
        let mut merged = matrix(LABELS, one);
        merged.merge(&matrix(LABELS, other));
        prop_assert_eq!(merged, matrix(LABELS, &examples));
    }

    #[test]
    fn names_of_labels_are_no_matter(examples in examples(), shift in 1..LABELS) {
        let renamed: Vec<(usize, usize)> =
            examples.iter().map(|(one, other)| ((one + shift) % LABELS, (other + shift) % LABELS)).collect();
        let (one, other) = (matrix(LABELS, &examples), matrix(LABELS, &renamed));
        for of in [ConfusionMatrix::accuracy, ConfusionMatrix::balanced_accuracy, ConfusionMatrix::macro_f1, ConfusionMatrix::mcc] {
            assert_number_within(of(&one).unwrap(), of(&other).unwrap(), FORMULA, "renamed");
        }
        prop_assert_eq!(one.micro_f1(), one.accuracy());
    }

    #[test]
    fn metrics_are_in_their_ranges(examples in examples()) {
        let matrix = matrix(LABELS, &examples);
        for share in [matrix.accuracy(), matrix.balanced_accuracy(), matrix.macro_f1(), matrix.micro_f1()] {
            prop_assert!((0.0..=1.0).contains(&share.unwrap()));
        }
        prop_assert!((-1.0 - 1e-12..=1.0 + 1e-12).contains(&matrix.mcc().unwrap()));
        let right: Vec<(usize, usize)> = examples.iter().map(|(label, _)| (*label, *label)).collect();
        let right = self::matrix(LABELS, &right);
        prop_assert_eq!((right.accuracy(), right.macro_f1(), right.balanced_accuracy()), (Some(1.0), Some(1.0), Some(1.0)));
    }

    #[test]
    fn correlations_are_symmetric_and_scale_free(pairs in numbers(), scale in 1u8..9, shift in -9i8..9) {
        let (one, other): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let moved: Vec<f64> = one.iter().map(|value| value * f64::from(scale) + f64::from(shift)).collect();
        for of in [pearson, spearman] {
            let value = of(&one, &other);
            match (value, of(&other, &one), of(&moved, &other)) {
                (Some(value), Some(swapped), Some(moved)) => {
                    assert_number_within(swapped, value, FORMULA, "swapped");
                    assert!((moved - value).abs() < 1e-9, "{moved} {value}");
                    prop_assert!((-1.0..=1.0).contains(&value));
                }
                (value, swapped, moved) => prop_assert_eq!((value, swapped, moved), (None, None, None)),
            }
        }
        // Ranks are all that matters.
        let cubed: Vec<f64> = one.iter().map(|value| value.powi(3)).collect();
        prop_assert_eq!(spearman(&cubed, &other), spearman(&one, &other));
    }
}

#[test]
fn metrics_without_a_value_are_none_or_zero_as_documented() {
    let empty = ConfusionMatrix::new(2);
    assert_eq!(
        (empty.accuracy(), empty.macro_f1(), empty.balanced_accuracy(), empty.mcc()),
        (None, None, None, None)
    );
    assert_eq!((empty.precision(0), empty.recall(0), empty.f1(0)), (0.0, 0.0, 0.0));
    // A class that neither occurs nor is predicted counts for nothing.
    assert_eq!(matrix(3, &[(0, 0), (1, 1)]).macro_f1(), Some(1.0));
    assert_eq!(matrix(2, &[(0, 0), (1, 0)]).mcc(), Some(0.0), "all predictions are of one label");
    assert_eq!(matrix(2, &[(5, 0), (0, 5)]), ConfusionMatrix::new(2), "examples without a label");
    assert_eq!((pearson(&[1.0], &[1.0]), spearman(&[1.0, 1.0], &[1.0, 2.0])), (None, None));
    assert_eq!(pearson(&[f64::NAN, 1.0], &[1.0, 2.0]), None);
    assert_eq!((mean_squared_error(&[], &[]), mean_squared_error(&[1.0], &[1.0, 2.0])), (None, None));
    assert_eq!(mean_squared_error(&[1.0, 2.0], &[3.0, 2.0]), Some(2.0));
    // Huge and tiny numbers do not overflow.
    assert_number_within(
        pearson(&[1e300, 2e300, 4e300], &[1e-300, 2e-300, 4e-300]).unwrap(),
        1.0,
        FORMULA,
        "large",
    );
}
