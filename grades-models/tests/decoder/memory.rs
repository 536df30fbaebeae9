//! Loading takes little more memory than the model.

use std::io::Write;
use std::process::Command;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::json;
use tch::{Device, Kind};

use grades_models::decoder::{Decoder, LoadOptions};

use crate::tiny_decoder::TinyDecoder;

/// The largest resident size of this process so far, in bytes; `None` where the system has no `/proc`.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Set in the process that measures, to the directory that it loads.
const CHILD: &str = "GRADES_TEST_LOAD";

/// A process of its own, whose peak nothing else has raised: it runs this very test, which then only loads.
#[test]
fn the_peak_of_loading_is_the_model_and_a_tenth() {
    if let Some(dir) = std::env::var_os(CHILD) {
        // libtorch's own memory is not the model's.
        let _ = tch::Tensor::zeros([1], (Kind::Float, Device::Cpu)) + 1.0;
        let before = peak_memory().unwrap();
        let options = LoadOptions { dtype: Kind::BFloat16, ..LoadOptions::default() };
        let (model, _) = Decoder::load(dir.as_ref(), options).unwrap();
        let bytes: usize = model.var_store().variables().values().map(|variable| 2 * variable.numel()).sum();
        let used = peak_memory().unwrap() - before;
        assert!(used as f64 >= 0.9 * bytes as f64, "{used} bytes for a model of {bytes}: not measured");
        assert!(used as f64 <= 1.1 * bytes as f64, "{used} bytes for a model of {bytes}");
        return;
    }
    if peak_memory().is_none() {
        return; // only Linux tells
    }
    for files in [1, 3] {
        // 420 MB, with one matrix that is a fifth of it.
        let tiny =
            TinyDecoder::new(json!({"vocab_size": 40_000, "hidden_size": 1024, "intermediate_size": 4096,
            "num_hidden_layers": 8, "num_attention_heads": 16, "num_key_value_heads": 8}));
        write_zeros(&tiny, files);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::the_peak_of_loading_is_the_model_and_a_tenth", "--nocapture"])
            .env(CHILD, tiny.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
    }
}

/// Weights of zeros, in files that take no room on the disk.
fn write_zeros(tiny: &TinyDecoder, files: usize) {
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![40_000, 1024]),
        ("lm_head.weight".to_owned(), vec![40_000, 1024]),
        ("model.norm.weight".to_owned(), vec![1024]),
    ];
    for layer in 0..8 {
        let parts: [(&str, &[usize]); 9] = [
            ("input_layernorm", &[1024]),
            ("post_attention_layernorm", &[1024]),
            ("self_attn.q_proj", &[1024, 1024]),
            ("self_attn.k_proj", &[512, 1024]),
            ("self_attn.v_proj", &[512, 1024]),
            ("self_attn.o_proj", &[1024, 1024]),
            ("mlp.gate_proj", &[4096, 1024]),
            ("mlp.up_proj", &[4096, 1024]),
            ("mlp.down_proj", &[1024, 4096]),
        ];
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        shapes.extend(parts.map(|(part, shape)| (name(part), shape.to_vec())));
    }
    let mut map = serde_json::Map::new();
    for (number, shapes) in shapes.chunks(shapes.len().div_ceil(files)).enumerate() {
        let file =
            if files == 1 { "model.safetensors".to_owned() } else { format!("model-{number}.safetensors") };
        let mut offset = 0;
        let infos = shapes.iter().map(|(name, shape)| {
            map.insert(name.clone(), file.clone().into());
            let start = offset;
            offset += 2 * shape.iter().product::<usize>();
            let data_offsets = (start, offset);
            (name.clone(), TensorInfo { dtype: Dtype::BF16, shape: shape.clone(), data_offsets })
        });
        let mut header = serde_json::to_vec(&Metadata::new(None, infos.collect()).unwrap()).unwrap();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut out = std::fs::File::create(tiny.file(&file)).unwrap();
        out.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        out.write_all(&header).unwrap();
        out.set_len((8 + header.len() + offset) as u64).unwrap();
    }
    if files > 1 {
        let index = json!({"weight_map": map}).to_string();
        std::fs::write(tiny.file("model.safetensors.index.json"), index).unwrap();
    }
}
