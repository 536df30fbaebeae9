//! Answers with a cache are those without one.

use grades_models::decoder::{Decoder, Generation, Tokens};
use serde_json::json;
use tch::{Kind, Tensor};

use crate::tiny_decoder::TinyDecoder;
use crate::tolerance::{TINY_DECODER, assert_within};

/// One token after the other, each time from the whole sequence.
fn plainly(model: &Decoder, prompt: &[i64], options: &Generation) -> Vec<i64> {
    let mut all = prompt.to_vec();
    while all.len() < prompt.len() + options.max_new_tokens && (all.len() as i64) < model.max_positions() {
        let ids = Tensor::from_slice(&all).unsqueeze(0);
        let logits = tch::no_grad(|| model.forward(&Tokens::from(ids))).unwrap();
        let next = i64::try_from(logits.get(0).get(all.len() as i64 - 1).argmax(-1, false)).unwrap();
        all.push(next);
        if options.stop.contains(&next) {
            break;
        }
    }
    all[prompt.len()..].to_vec()
}

#[test]
fn a_cache_changes_no_token() {
    let models = [
        TinyDecoder::new(json!({"initializer_range": 0.5})),
        TinyDecoder::new(
            json!({"model_type": "mistral", "architectures": null, "sliding_window": 4, "initializer_range": 0.5}),
        ),
        TinyDecoder::phi3(json!({"initializer_range": 0.5, "num_key_value_heads": 1})),
    ];
    let prompts: Vec<Vec<i64>> =
        vec![vec![5], vec![3, 9, 4], vec![8, 1, 1], vec![30, 31, 32], vec![7; 62], vec![6; 20]];
    for tiny in models {
        let model = tiny.draw();
        // Stops so common that sequences of one length end at different times.
        for stop in [vec![], (0..12).collect::<Vec<i64>>()] {
            for batch_size in [1, 2, 8] {
                let options = Generation { max_new_tokens: 30, stop: stop.clone(), batch_size };
                let answers = model.generate(&prompts, &options).unwrap();
                for (prompt, answer) in prompts.iter().zip(answers) {
                    assert_eq!(answer, plainly(&model, prompt, &options), "{prompt:?}");
                }
            }
        }
    }
}

#[test]
fn several_tokens_may_follow_a_cache() {
    let tiny = TinyDecoder::new(json!({"model_type": "mistral", "architectures": null, "sliding_window": 4}));
    let model = tiny.draw();
    let ids = Tensor::from_slice(&[5i64, 6, 7, 8, 9, 10, 11, 12, 13]).unsqueeze(0);
    let _no_grad = tch::no_grad_guard();
    let whole = model.forward(&Tokens::from(ids.shallow_clone())).unwrap();
    let mut cache = model.cache();
    assert!(cache.is_empty());
    for (start, length) in [(0, 4), (4, 3), (7, 2)] {
        let last = model.forward_cached(&ids.narrow(1, start, length), &mut cache).unwrap();
        let expected = whole.get(0).get(start + length - 1);
        assert_within(&last.get(0), &expected, TINY_DECODER.tolerance(Kind::Float), "last logits");
        assert_eq!(cache.len(), start + length);
    }
}

#[test]
fn the_stop_tokens_are_those_of_the_generation_settings() {
    let tiny = TinyDecoder::new(json!({}));
    assert_eq!(tiny.draw().stop_ids(), [2]);
    for (settings, expected) in
        [("{\"eos_token_id\": [4, 5]}", vec![4, 5]), ("{\"eos_token_id\": 6}", vec![6]), ("{}", vec![2])]
    {
        std::fs::write(tiny.file("generation_config.json"), settings).unwrap();
        assert_eq!(tiny.draw().stop_ids(), expected);
    }
}

#[test]
fn prompts_that_cannot_be_answered_are_refused() {
    let model = TinyDecoder::new(json!({})).draw();
    let error = |prompt: Vec<i64>| {
        let options = Generation { max_new_tokens: 3, stop: vec![], batch_size: 1 };
        model.generate(&[vec![1], prompt], &options).unwrap_err().to_string()
    };
    assert_eq!(
        error(vec![]),
        "prompt 1 has 0 tokens; expected 1 to 63 (\"max_position_embeddings\" less one)"
    );
    assert_eq!(
        error(vec![1; 64]),
        "prompt 1 has 64 tokens; expected 1 to 63 (\"max_position_embeddings\" less one)"
    );
    assert_eq!(error(vec![1, 40]), "prompt 1 has the id 40; the vocabulary has 0 to 39");
}
