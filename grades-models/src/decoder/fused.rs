//! Fused matrices: several of the model in one tensor of the files.

use tch::Tensor;
use tch::nn::VarStore;

use super::architecture::Architecture;
use super::config::DecoderConfig;

/// A matrix of the files that is several of the paper's matrices, row under row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FusedMatrix {
    /// Its name in the files.
    pub name: String,
    /// The name that each part has, or would have, as a variable of its own, and its number of rows, from the top.
    pub parts: Vec<(String, i64)>,
}

/// Lists the fused matrices of a model, block by block; none but Phi-3's has any.
pub(super) fn fused_matrices(config: &DecoderConfig) -> Vec<FusedMatrix> {
    if config.architecture != Architecture::Phi3 {
        return Vec::new();
    }
    let (queries, pairs) =
        (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let inner = config.intermediate_size;
    let matrices = |layer: usize| {
        let matrix = |fused: &str, parts: &[(&str, i64)]| {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let parts = parts.iter().map(|&(part, rows)| (name(part), rows)).collect();
            FusedMatrix { name: name(fused), parts }
        };
        let attention =
            [("self_attn.q_proj", queries), ("self_attn.k_proj", pairs), ("self_attn.v_proj", pairs)];
        [
            matrix("self_attn.qkv_proj", &attention),
            matrix("mlp.gate_up_proj", &[("mlp.gate_proj", inner), ("mlp.up_proj", inner)]),
        ]
    };
    (0..config.num_hidden_layers).flat_map(matrices).collect()
}

/// Returns the variables of a store, sorted by name.
pub(super) fn sorted(store: &VarStore) -> Vec<(String, Tensor)> {
    let mut variables: Vec<(String, Tensor)> = store.variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    variables
}
