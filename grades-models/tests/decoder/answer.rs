//! Answers of prompts of different lengths together, and the choice of tokens.

use std::ops::ControlFlow;

use grades_models::decoder::{Decoder, Generation, Sampling};
use proptest::prelude::*;
use serde_json::json;

use crate::tiny_decoder::TinyDecoder;

fn models() -> [TinyDecoder; 3] {
    [
        TinyDecoder::new(json!({"initializer_range": 0.5})),
        TinyDecoder::new(
            json!({"model_type": "mistral", "architectures": null, "sliding_window": 4, "initializer_range": 0.5}),
        ),
        TinyDecoder::phi3(json!({"initializer_range": 0.5, "num_key_value_heads": 1})),
    ]
}

fn prompts() -> Vec<Vec<i64>> {
    vec![vec![5], vec![3, 9, 4], vec![8, 1, 1], vec![30, 31, 32, 6, 7, 9], vec![7; 62], vec![6; 20]]
}

fn answers(model: &Decoder, batch_size: usize, stop: &[i64], sampling: &Sampling) -> Vec<Vec<i64>> {
    let limits = Generation { max_new_tokens: 30, stop: stop.to_vec(), batch_size };
    model.answer(&prompts(), &limits, sampling, &mut |_, _| Ok(ControlFlow::Continue(()))).unwrap()
}

#[test]
fn greedy_answers_are_those_of_each_prompt_alone() {
    for tiny in models() {
        let model = tiny.draw();
        for stop in [vec![], (0..12).collect::<Vec<i64>>()] {
            let limits = Generation { max_new_tokens: 30, stop: stop.clone(), batch_size: 1 };
            let alone = model.generate(&prompts(), &limits).unwrap();
            for batch_size in [1, 2, 4, 8] {
                assert_eq!(answers(&model, batch_size, &stop, &Sampling::default()), alone, "{batch_size}");
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_answers_in_any_batch() {
    for tiny in models() {
        let model = tiny.draw();
        let sampling = Sampling { temperature: 1.5, seed: 7, repetition_penalty: 1.2, ..Sampling::default() };
        let alone = answers(&model, 1, &[0, 1], &sampling);
        for batch_size in [2, 8] {
            assert_eq!(answers(&model, batch_size, &[0, 1], &sampling), alone, "{batch_size}");
        }
        assert_ne!(answers(&model, 8, &[0, 1], &Sampling { seed: 8, ..sampling.clone() }), alone);
        // The second half of the list, as one that follows the first.
        let limits = Generation { max_new_tokens: 30, stop: vec![0, 1], batch_size: 2 };
        let rest = Sampling { first: 3, ..sampling };
        let rest = model.answer(&prompts()[3..], &limits, &rest, &mut |_, _| Ok(ControlFlow::Continue(())));
        assert_eq!(rest.unwrap(), alone[3..]);
    }
}

#[test]
fn the_receiver_sees_every_token_and_ends_answers() {
    let model = models()[0].draw();
    let limits = Generation { max_new_tokens: 9, stop: Vec::new(), batch_size: 4 };
    let mut seen = vec![Vec::new(); prompts().len()];
    let answers = model.answer(&prompts(), &limits, &Sampling::default(), &mut |prompt, token| {
        seen[prompt].push(token);
        Ok(if seen[prompt].len() > prompt { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    let answers = answers.unwrap();
    assert_eq!(answers, seen);
    // The prompt of 62 tokens has room for two more.
    assert_eq!(answers.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 3, 4, 2, 6]);
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    let model = models()[0].draw();
    let limits = Generation { max_new_tokens: 1, stop: Vec::new(), batch_size: 1 };
    let own = Sampling::default;
    for (sampling, message) in [
        (Sampling { temperature: -1.0, ..own() }, "temperature: expected a number of at least 0, found -1"),
        (Sampling { top_p: 0.0, ..own() }, "top_p: expected a share above 0, up to 1, found 0"),
        (Sampling { top_p: f64::NAN, ..own() }, "top_p: expected a share above 0, up to 1, found NaN"),
        (
            Sampling { repetition_penalty: 0.0, ..own() },
            "repetition_penalty: expected a number above 0, found 0",
        ),
    ] {
        let error = model.answer(&[vec![5]], &limits, &sampling, &mut |_, _| Ok(ControlFlow::Continue(())));
        assert_eq!(error.unwrap_err().to_string(), message);
    }
}

proptest! {
    #[test]
    fn probabilities_are_of_the_most_likely_tokens(
        logits in prop::collection::vec(-8.0f32..8.0, 2..40),
        temperature in 0.1f64..3.0,
        top_k in 0usize..50,
        top_p in 0.05f64..=1.0,
    ) {
        let sampling = Sampling { temperature, top_k, top_p, ..Sampling::default() };
        let found = sampling.probabilities(&logits, &[]);
        prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let kept = found.iter().filter(|chance| **chance > 0.0).count();
        prop_assert!(kept >= 1);
        let plain = Sampling { temperature, ..Sampling::default() }.probabilities(&logits, &[]);
        let lowest = plain.iter().zip(&found).filter(|(_, found)| **found > 0.0).map(|(plain, _)| *plain).fold(1.0, f64::min);
        for (plain, found) in plain.iter().zip(&found) {
            prop_assert!(*found > 0.0 || *plain <= lowest, "a likelier token was left out");
        }
        if top_k == 0 || top_k >= logits.len() {
            let share: f64 = plain.iter().zip(&found).filter(|(_, found)| **found > 0.0).map(|(plain, _)| plain).sum();
            prop_assert!(share >= top_p - 1e-9, "{share} {top_p}");
        }
        let greedy = Sampling { top_k, top_p, ..Sampling::default() }.probabilities(&logits, &[]);
        prop_assert_eq!(greedy.iter().filter(|chance| **chance == 1.0).count(), 1);
        let one = Sampling { temperature, top_k: 1, ..Sampling::default() }.probabilities(&logits, &[]);
        prop_assert!(greedy.iter().zip(&one).all(|(greedy, one)| *greedy == 0.0 || *one > 0.0));
    }

    #[test]
    fn a_penalty_makes_what_was_said_less_likely(logits in prop::collection::vec(-8.0f32..8.0, 3..20), penalty in 1.01f64..3.0) {
        let plain = Sampling { temperature: 1.0, ..Sampling::default() };
        let before = plain.probabilities(&logits, &[]);
        let after = Sampling { repetition_penalty: penalty, ..plain }.probabilities(&logits, &[1, 1, 99]);
        prop_assert!(after[1] < before[1] || logits[1] == 0.0);
        prop_assert!(after[0] >= before[0]);
    }
}
