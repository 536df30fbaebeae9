//! Configurations: TOML, and the JSON of models and adapters.

use grades_finetune::config::{Document, RunConfig};
use grades_lora::LoraConfig;
use grades_models::Family;
use grades_models::bert::BertConfig;
use grades_models::decoder::DecoderConfig;
use grades_policies as _;
use serde_json::json;

use crate::driver::{fuzz, refusal};
use crate::tiny::Tiny;
use crate::tiny_decoder::TinyDecoder;

const RUN: &str = r#"
[output]
folder = "runs"
[model]
path = "model"
dtype = "bf16"
device = "cpu"
[data]
train = "train.tsv"
text = 0
label = "label"
header = "auto"
max_tokens = 12
[training]
epochs = 2
clip_norm = 1.0
[schedule]
name = "cosine"
warmup = 0.1
[checkpoint]
every = 5
[guard]
spike_factor = 3.0
[lora]
r = 8
target_modules = "all-linear"
rank_pattern = { 'layer\.0\..*' = 4 }
modules_to_save = ["classifier"]
merge_frozen = "always"
[freezing]
metric = "grad-l1"
cooldown = { share = 1.0 }
[freezing.policy]
name = "per-component-type"
default = { name = "thaw", period = 3, policy = { name = "quota", max_share = 0.5 } }
attention = { name = "patience", hits = 5, policy = { name = "fixed-threshold", tau = 0.02 } }
rules = [ { match = '.*query.*', policy = { name = "plateau" } } ]
[freezing.components]
layout = "auto"
track = ["attention", "mlp"]
exclude = ['.*\.layer\.0\..*']
[[freezing.components.patterns]]
match = 'blocks\.(?<layer>\d+)\.wq\.weight'
kind = "query"
"#;

#[test]
fn configurations_of_runs() {
    let configs = ["decoder", "decoder-lora", "outlook", "paper/qwen3-0.6b-full"].map(|name| {
        std::fs::read(format!("{}/../examples/configs/{name}.toml", env!("CARGO_MANIFEST_DIR"))).unwrap()
    });
    let rules = RUN.replace("rules = [ { match = '.*query.*', policy = { name = \"plateau\" } } ]\n", "");
    let mut seeds = configs.to_vec();
    seeds.push(rules.into_bytes());
    let words = [
        "name = ",
        "policy = { name = \"all-of\", policies = [] }",
        "[freezing]",
        "[lora]",
        "(?<layer>",
        "(a*)*",
        "\\d{1000}",
        "inf",
        "nan",
        "'''",
        "[[",
        "all-linear",
        "share = ",
    ];
    fuzz("run-toml", (400, 160_000), &seeds, &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let document = match Document::parse(&text) {
            Ok(document) => document,
            Err(error) => return Some(error.to_string()),
        };
        match RunConfig::read(document.table()) {
            // What was read can be written, and read again.
            Ok(config) => {
                let text = toml::to_string_pretty(&config).unwrap();
                refusal(RunConfig::read(Document::parse(&text).unwrap().table()))
            }
            Err(error) => Some(error.to_string()),
        }
    });
}

#[test]
fn configurations_of_adapters() {
    let config = json!({
        "peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": "base", "r": 4, "lora_alpha": 8,
        "lora_dropout": 0.1, "bias": "none", "target_modules": ["query", "value"], "modules_to_save": ["classifier"],
        "rank_pattern": {"query": 2}, "alpha_pattern": {}, "use_dora": true, "use_rslora": false, "fan_in_fan_out": false,
        "init_lora_weights": true, "layers_to_transform": [0, 1], "layers_pattern": "layer", "inference_mode": true
    });
    let dir = tempfile::tempdir().unwrap();
    let words = ["all-linear", "\"r\":", "(.*)+", "null", "\"layers_to_transform\": 0", "[0", "{\"a\":{"];
    fuzz("adapter_config.json", (400, 160_000), &[config.to_string().into_bytes()], &words, |bytes| {
        std::fs::write(dir.path().join("adapter_config.json"), bytes).unwrap();
        refusal(LoraConfig::from_adapter(dir.path()))
    });
}

#[test]
fn configurations_of_classifiers() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["\"id2label\":{\"0\":\"a\"}", "gelu_new", "bert", "absolute"];
    fuzz(
        "bert-config.json",
        (400, 160_000),
        &[Tiny::classifier().config.to_string().into_bytes()],
        &words,
        |bytes| {
            std::fs::write(dir.path().join("config.json"), bytes).unwrap();
            refusal(Family::of(dir.path())).or(refusal(BertConfig::load(dir.path())))
        },
    );
}

#[test]
fn configurations_of_decoders() {
    let scaled = json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}, "head_dim": 4});
    let window =
        json!({"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 8});
    let qwen = json!({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "use_sliding_window": true,
        "max_window_layers": 1, "sliding_window": 4, "layer_types": ["full_attention", "sliding_attention"], "head_dim": 4});
    let mut seeds: Vec<Vec<u8>> = [json!({}), scaled, window, qwen]
        .map(|changes| TinyDecoder::new(changes).config.to_string().into_bytes())
        .into();
    seeds.push(TinyDecoder::phi3(json!({"partial_rotary_factor": 0.5})).config.to_string().into_bytes());
    let dir = tempfile::tempdir().unwrap();
    let words =
        ["\"rope_parameters\":{\"rope_type\":\"default\"}", "yarn", "silu", "phi3", "\"eos_token_id\":[2,3]"];
    fuzz("decoder-config.json", (400, 160_000), &seeds, &words, |bytes| {
        std::fs::write(dir.path().join("config.json"), bytes).unwrap();
        refusal(Family::of(dir.path())).or(refusal(DecoderConfig::load(dir.path())))
    });
}
