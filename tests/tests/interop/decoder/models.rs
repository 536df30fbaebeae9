//! The models, made once by transformers for all tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use grades_models::decoder::{Decoder, LoadOptions, Targets, Tokens};
use grades_tests::tolerance::assert_within;
use serde_json::{Value, json};
use tch::Tensor;

use crate::python::script;

/// The length of each sequence of the batch; the others are padded to the first.
const LENGTHS: [usize; 3] = [24, 17, 9];
pub(crate) const NEW_TOKENS: usize = 14;
const VOCABULARY: i64 = 97;

/// A model that transformers makes.
struct Spec {
    name: &'static str,
    /// The class's name before `Config` and `ForCausalLM`.
    class: &'static str,
    /// The keys of its configuration that differ from those of all.
    config: Value,
    dtype: &'static str,
    /// The largest weight file.
    shard: &'static str,
    /// Whether its configuration is in the form of transformers 4.
    v4: bool,
    /// Whether its configuration ties the output matrix to the embedding, though the files have one of its own; and whether
    /// the configuration has an `Infinity`, as Python writes it.
    own_head: bool,
}

impl Spec {
    /// A model in f32, in one file, with a configuration of transformers 5.
    fn new(name: &'static str, class: &'static str, config: Value) -> Self {
        Self { name, class, config, dtype: "float32", shard: "1GB", v4: false, own_head: false }
    }
}

fn specs() -> Vec<Spec> {
    let llama3 = json!({"rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0,
                        "high_freq_factor": 4.0, "original_max_position_embeddings": 16});
    vec![
        Spec::new("llama", "Llama", json!({})),
        Spec {
            shard: "20KB",
            v4: true,
            ..Spec::new(
                "llama-scaled",
                "Llama",
                json!({"rope_parameters": llama3, "num_key_value_heads": 1, "max_position_embeddings": 128}),
            )
        },
        Spec::new(
            "llama-scaled-5",
            "Llama",
            json!({"rope_parameters": llama3, "head_dim": 16, "max_position_embeddings": 128}),
        ),
        Spec {
            v4: true,
            ..Spec::new(
                "llama-biases",
                "Llama",
                json!({"attention_bias": true, "mlp_bias": true, "num_key_value_heads": 4, "tie_word_embeddings": true, "hidden_act": "gelu"}),
            )
        },
        Spec {
            v4: true,
            ..Spec::new("mistral-window", "Mistral", json!({"sliding_window": 5, "pad_token_id": 3}))
        },
        Spec {
            shard: "30KB",
            ..Spec::new(
                "mistral",
                "Mistral",
                json!({"sliding_window": null, "head_dim": 12, "num_key_value_heads": 1}),
            )
        },
        Spec {
            dtype: "bfloat16",
            shard: "20KB",
            v4: true,
            ..Spec::new("qwen3-tied", "Qwen3", json!({"head_dim": 16, "tie_word_embeddings": true}))
        },
        Spec::new(
            "qwen3",
            "Qwen3",
            json!({"head_dim": 6, "attention_bias": true, "use_sliding_window": true, "sliding_window": 4, "max_window_layers": 1}),
        ),
        Spec::new("phi3", "Phi3", json!({"pad_token_id": 0})),
        Spec {
            dtype: "bfloat16",
            shard: "20KB",
            v4: true,
            ..Spec::new(
                "phi3-partial",
                "Phi3",
                json!({"pad_token_id": null, "sliding_window": 6, "partial_rotary_factor": 0.5, "num_key_value_heads": 1}),
            )
        },
        Spec {
            v4: true,
            ..Spec::new(
                "phi3-tied",
                "Phi3",
                json!({"pad_token_id": 0, "tie_word_embeddings": true, "num_key_value_heads": 4}),
            )
        },
        Spec { own_head: true, ..Spec::new("llama-own-head", "Llama", json!({})) },
    ]
}

/// The names of all models.
pub(crate) fn names() -> Vec<&'static str> {
    specs().iter().map(|spec| spec.name).collect()
}

/// The folder of the models, made by the first test that asks.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("decoders");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let specs: Vec<Value> = specs()
            .into_iter()
            .map(|Spec { name, class, config: own, dtype, shard, v4, own_head }| {
                let mut config = json!({
                    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 3,
                    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
                    "bos_token_id": 1, "eos_token_id": 2,
                });
                config.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
                json!({"name": name, "class": class, "config": config, "dtype": dtype, "shard": shard, "v4": v4, "own_head": own_head})
            })
            .collect();
        let [ids, mask, labels] = rows();
        let batch = json!({"ids": ids, "mask": mask, "labels": labels, "prompts": prompts(), "new_tokens": NEW_TOKENS});
        std::fs::write(folder.join("batch.json"), batch.to_string()).unwrap();
        std::fs::write(folder.join("specs.json"), json!(specs).to_string()).unwrap();
        script("decoders.py", &[Path::new("make"), &folder.join("specs.json"), &folder]);
        folder
    })
}

/// Ids, mask and labels; the labels of the first tokens, as of a prompt, and of padding are -100.
fn rows() -> [Vec<Vec<i64>>; 3] {
    let width = LENGTHS[0];
    let row = |row: usize, value: &dyn Fn(usize, i64) -> i64| -> Vec<i64> {
        (0..width)
            .map(|at| value(at, ((row * 31 + at * 17 + at * at) as i64) % (VOCABULARY - 3) + 3))
            .collect()
    };
    let all = |value: &dyn Fn(usize, usize, i64) -> i64| -> Vec<Vec<i64>> {
        (0..3).map(|index| row(index, &|at, id| value(LENGTHS[index], at, id))).collect()
    };
    [
        all(&|length, at, id| if at < length { id } else { 0 }),
        all(&|length, at, _| i64::from(at < length)),
        all(&|length, at, id| if (4..length).contains(&at) { id } else { -100 }),
    ]
}

/// Prompts of several lengths, two of one.
pub(crate) fn prompts() -> Vec<Vec<i64>> {
    [(1, 5), (2, 5), (3, 11), (4, 1)]
        .map(|(seed, length)| (0..length).map(|at| (seed * 13 + at * 7) % (VOCABULARY - 3) + 3).collect())
        .to_vec()
}

/// The batch, as transformers had it.
pub(crate) fn batch() -> (Tokens, Targets) {
    let [ids, _, labels] = rows();
    let width = LENGTHS[0];
    let (mut positions, mut targets) = (Vec::new(), Vec::new());
    for (row, labels) in labels.iter().enumerate() {
        for (at, &label) in labels.iter().enumerate().skip(1).filter(|(_, label)| **label >= 0) {
            positions.push((row * width + at - 1) as i64);
            targets.push(label);
        }
    }
    let targets = Targets { positions: Tensor::from_slice(&positions), ids: Tensor::from_slice(&targets) };
    (Tokens::from(Tensor::from_slice2(&ids)), targets)
}

/// The results of transformers with a model.
pub(crate) fn reference(name: &str) -> BTreeMap<String, Tensor> {
    let path = folder().join(format!("{name}.safetensors"));
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

pub(crate) fn load(name: &str, options: LoadOptions) -> Decoder {
    Decoder::load(&folder().join(name), options).unwrap().0
}

/// The logits at positions that are not padding.
fn unpadded(logits: &Tensor) -> Tensor {
    let parts: Vec<Tensor> = (0..)
        .zip(LENGTHS)
        .map(|(row, length)| logits.get(row).narrow(0, 0, i64::try_from(length).unwrap()))
        .collect();
    Tensor::cat(&parts, 0)
}

/// The largest difference at positions that are not padding.
pub(crate) fn difference(ours: &Tensor, theirs: &Tensor) -> f64 {
    f64::try_from((unpadded(ours) - unpadded(theirs)).abs().max()).unwrap()
}

/// Fails unless logits at positions that are not padding are equal, to within a tolerance relative to the largest.
pub(crate) fn assert_logits(ours: &Tensor, theirs: &Tensor, tolerance: f64, what: &str) {
    assert_within(&unpadded(ours), &unpadded(theirs), tolerance, what);
}
