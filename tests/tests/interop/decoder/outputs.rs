//! Logits and answers.

use grades_models::decoder::{Generation, LoadOptions, Packed, Tokens};
use grades_tests::tolerance::{BF16_LOGITS, TINY_DECODER, assert_within};
use tch::{Kind, Tensor};

use super::models::{NEW_TOKENS, assert_logits, batch, difference, load, names, prompts, reference};
use crate::python::skipped;

#[test]
fn logits_are_those_of_transformers() {
    if skipped() {
        return;
    }
    for name in names() {
        for split_fused in [false, true] {
            let model = load(name, LoadOptions { split_fused, ..LoadOptions::default() });
            let ours = tch::no_grad(|| model.forward(&batch().0)).unwrap();
            let theirs = &reference(name)["logits"];
            let tolerance = TINY_DECODER.tolerance(Kind::Float);
            assert_logits(&ours, theirs, tolerance, &format!("{name}, split {split_fused}"));
            let spread = f64::try_from(theirs.std(false)).unwrap();
            assert!(spread > 0.1, "{name}: the logits are all alike");
        }
    }
}

#[test]
fn narrow_kinds_stay_close() {
    if skipped() {
        return;
    }
    for name in names() {
        let theirs = &reference(name)["logits"];
        let spread = f64::try_from(theirs.std(false)).unwrap();
        for (kind, autocast) in [(Kind::BFloat16, false), (Kind::Float, true)] {
            let model = load(name, LoadOptions { dtype: kind, autocast, ..LoadOptions::default() });
            let ours = tch::no_grad(|| model.forward(&batch().0)).unwrap().to_kind(Kind::Float);
            let share = difference(&ours, theirs) / spread;
            assert!(share > 1e-4, "{name}, {kind:?}: bf16 was not used");
            assert!(
                share < BF16_LOGITS,
                "{name}, {kind:?}, autocast {autocast}: logits differ by {share} of their spread"
            );
        }
    }
}

#[test]
fn greedy_answers_are_those_of_transformers_token_by_token() {
    if skipped() {
        return;
    }
    for name in names() {
        let model = load(name, LoadOptions::default());
        let reference = reference(name);
        let options = Generation { max_new_tokens: NEW_TOKENS, stop: model.stop_ids(), batch_size: 8 };
        assert_eq!(options.stop, [2], "{name}");
        for (index, ours) in model.generate(&prompts(), &options).unwrap().into_iter().enumerate() {
            let theirs = Vec::<i64>::try_from(&reference[&format!("answer.{index}")]).unwrap();
            assert_eq!(ours, theirs, "{name}, prompt {index}");
        }
    }
}

#[test]
fn packed_examples_do_not_see_each_other() {
    if skipped() {
        return;
    }
    for name in names() {
        let model = load(name, LoadOptions::default());
        let (tokens, _) = batch();
        let alone = tch::no_grad(|| model.forward(&tokens)).unwrap();
        // The second and the third sequence of the batch in one row.
        let (second, third) = (tokens.ids.get(1).narrow(0, 0, 17), tokens.ids.get(2).narrow(0, 0, 9));
        let segments: Vec<i64> = (0..26).map(|at| i64::from(at >= 17)).collect();
        let positions: Vec<i64> = (0..17).chain(0..9).collect();
        let row = |values: &[i64]| Tensor::from_slice(values).unsqueeze(0);
        let packed = Some(Packed { segments: row(&segments), positions: row(&positions) });
        let tokens = Tokens { ids: Tensor::cat(&[second, third], 0).unsqueeze(0), packed, prefix: None };
        let together = tch::no_grad(|| model.forward(&tokens)).unwrap().get(0);
        for (row, start, length) in [(1, 0, 17), (2, 17, 9)] {
            let (found, expected) = (together.narrow(0, start, length), alone.get(row).narrow(0, 0, length));
            let tolerance = TINY_DECODER.tolerance(Kind::Float);
            assert_within(&found, &expected, tolerance, format!("{name}, sequence {row}"));
        }
    }
}
