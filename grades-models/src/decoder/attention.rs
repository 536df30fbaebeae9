//! Causal self-attention with grouped keys and values, and a window in some models.

use tch::nn::Path;
use tch::{TchError, Tensor};

use super::cache::LayerCache;
use super::config::DecoderConfig;
use super::layers::{Linear, RmsNorm, dropout};
use super::mask::Masks;
use super::rope::Rotation;
use crate::error::Result;
use crate::files::Dtypes;
use crate::flops::{Matmuls, Per};

/// The attention of one block.
#[derive(Debug)]
pub(super) struct Attention {
    inputs: Inputs,
    output: Linear,
    norms: Option<(RmsNorm, RmsNorm)>,
    heads: i64,
    key_value_heads: i64,
    head_dim: i64,
    window: Option<i64>,
    dropout: f64,
    residual_dropout: f64,
    dtypes: Dtypes,
}

/// The matrices that make queries, keys and values.
#[derive(Debug)]
enum Inputs {
    Separate {
        query: Linear,
        key: Linear,
        value: Linear,
    },
    /// Per of the queries, then of the keys, then of the values.
    Fused(Linear),
}

/// The positions and masks that all blocks of one forward pass share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) rotation: Rotation,
    pub(super) masks: Masks,
    /// Whether dropout is active.
    pub(super) train: bool,
}

impl Attention {
    /// Creates the layer; `fused` when the variables are to be those of Phi-3.
    pub(super) fn new(
        path: &Path,
        config: &DecoderConfig,
        layer: usize,
        fused: bool,
        dtypes: Dtypes,
    ) -> Result<Self> {
        let (hidden, dim, bias) = (config.hidden_size, config.head_dim, config.attention_bias);
        let (queries, pairs) = (config.num_attention_heads * dim, config.num_key_value_heads * dim);
        let inputs = if fused {
            Inputs::Fused(Linear::new(&path.sub("qkv_proj"), hidden, queries + 2 * pairs, bias, dtypes)?)
        } else {
            Inputs::Separate {
                query: Linear::new(&path.sub("q_proj"), hidden, queries, bias, dtypes)?,
                key: Linear::new(&path.sub("k_proj"), hidden, pairs, bias, dtypes)?,
                value: Linear::new(&path.sub("v_proj"), hidden, pairs, bias, dtypes)?,
            }
        };
        let norm = |name: &str| RmsNorm::new(&path.sub(name), dim, config.rms_norm_eps, dtypes);
        let normed = config.architecture == super::Architecture::Qwen3;
        Ok(Self {
            inputs,
            output: Linear::new(&path.sub("o_proj"), queries, hidden, bias, dtypes)?,
            norms: if normed { Some((norm("q_norm")?, norm("k_norm")?)) } else { None },
            heads: config.num_attention_heads,
            key_value_heads: config.num_key_value_heads,
            head_dim: dim,
            window: config.windows.get(layer).copied().flatten(),
            dropout: config.attention_dropout,
            residual_dropout: config.resid_pdrop,
            dtypes,
        })
    }

    /// Turns `[B, T, hidden]` into the same shape; with a cache, the tokens follow those that are in it.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        context: &Context,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let (query, key, value) = self.project(x, context.train)?;
        let (query, key) = match &self.norms {
            Some((q, k)) => (q.forward(&query)?, k.forward(&key)?),
            None => (query, key),
        };
        let (query, key) = (context.rotation.apply(&query)?, context.rotation.apply(&key)?);
        // [B, heads, T, head_dim]; under autocast the rotation was in the wider kind.
        let heads_first = |x: &Tensor| x.f_transpose(1, 2)?.f_to_kind(self.dtypes.compute);
        let (query, key, value) = (heads_first(&query)?, heads_first(&key)?, heads_first(&value)?);
        let (key, value) = match cache {
            Some(cache) => cache.extend(&key, &value)?,
            None => (key, value),
        };
        let mask = context.masks.of(self.window);
        let causal = context.masks.is_causal(self.window);
        let p = if context.train { self.dropout } else { 0.0 };
        let grouped = self.heads != self.key_value_heads;
        let attended =
            Tensor::f_scaled_dot_product_attention(&query, &key, &value, mask, p, causal, None, grouped)?;
        let size = x.size();
        let width = self.heads * self.head_dim;
        let joined = attended.f_transpose(1, 2)?.f_reshape([size[0], size[1], width])?;
        Ok(dropout(self.output.forward(&joined, context.train)?, self.residual_dropout, context.train)?)
    }

    /// Computes queries, keys and values, `[B, T, heads, head_dim]`.
    fn project(&self, x: &Tensor, train: bool) -> Result<(Tensor, Tensor, Tensor), TchError> {
        let split = |x: Tensor, heads: i64| {
            let size = x.size();
            x.f_view([size[0], size[1], heads, self.head_dim])
        };
        let (heads, pairs) = (self.heads, self.key_value_heads);
        match &self.inputs {
            Inputs::Separate { query, key, value } => Ok((
                split(query.forward(x, train)?, heads)?,
                split(key.forward(x, train)?, pairs)?,
                split(value.forward(x, train)?, pairs)?,
            )),
            Inputs::Fused(fused) => {
                let all = split(fused.forward(x, train)?, heads + 2 * pairs)?;
                Ok((
                    all.f_narrow(2, 0, heads)?,
                    all.f_narrow(2, heads, pairs)?,
                    all.f_narrow(2, heads + pairs, pairs)?,
                ))
            }
        }
    }

    /// Adds the matmuls of [`forward`](Self::forward) without a cache.
    pub(super) fn matmuls(&self, matmuls: &mut Matmuls, x: bool) -> bool {
        let (query, key, value) = match &self.inputs {
            Inputs::Separate { query, key, value } => {
                (query.matmuls(matmuls, x), key.matmuls(matmuls, x), value.matmuls(matmuls, x))
            }
            Inputs::Fused(fused) => {
                let all = fused.matmuls(matmuls, x);
                (all, all, all)
            }
        };
        let (query, key) = match &self.norms {
            Some((q, k)) => (query || q.is_trained(), key || k.is_trained()),
            None => (query, key),
        };
        let width = u64::try_from(self.heads * self.head_dim).unwrap_or(0);
        let scores = matmuls.add(Per::TokenPair, width, query, key);
        let attended = matmuls.add(Per::TokenPair, width, scores, value);
        self.output.matmuls(matmuls, attended)
    }

    /// Calls `visit` with each linear layer and its name in the block.
    pub(super) fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut grades_lora::Linear)) {
        match &mut self.inputs {
            Inputs::Separate { query, key, value } => {
                visit("q_proj", query.inner_mut());
                visit("k_proj", key.inner_mut());
                visit("v_proj", value.inner_mut());
            }
            Inputs::Fused(fused) => visit("qkv_proj", fused.inner_mut()),
        }
        visit("o_proj", self.output.inner_mut());
    }
}
