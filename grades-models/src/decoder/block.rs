//! One block: attention, then the gated feed-forward part, each added to its input.

use tch::nn::Path;
use tch::{TchError, Tensor};

use super::attention::{Attention, Context};
use super::cache::LayerCache;
use super::config::DecoderConfig;
use super::layers::{Linear, RmsNorm, dropout};
use crate::activation::Activation;
use crate::error::Result;
use crate::files::Dtypes;
use crate::flops::Matmuls;

/// One block.
#[derive(Debug)]
pub(super) struct Block {
    attention_norm: RmsNorm,
    attention: Attention,
    feed_forward_norm: RmsNorm,
    feed_forward: FeedForward,
}

impl Block {
    pub(super) fn new(
        path: &Path,
        config: &DecoderConfig,
        layer: usize,
        fused: bool,
        dtypes: Dtypes,
    ) -> Result<Self> {
        let norm = |name: &str| -> Result<RmsNorm, TchError> {
            let norm = RmsNorm::new(&path.sub(name), config.hidden_size, config.rms_norm_eps, dtypes)?;
            Ok(norm.before_matmuls(dtypes))
        };
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            attention: Attention::new(&path.sub("self_attn"), config, layer, fused, dtypes)?,
            feed_forward_norm: norm("post_attention_layernorm")?,
            feed_forward: FeedForward::new(&path.sub("mlp"), config, fused, dtypes)?,
        })
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        context: &Context,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let x = x.f_add(&self.attention.forward(&self.attention_norm.forward(x)?, context, cache)?)?;
        let added = self.feed_forward.forward(&self.feed_forward_norm.forward(&x)?, context.train)?;
        Ok(x.f_add(&added)?)
    }
}

impl Block {
    /// Adds the matmuls of [`forward`](Self::forward).
    pub(super) fn matmuls(&self, matmuls: &mut Matmuls, x: bool) -> bool {
        let attended = self.attention.matmuls(matmuls, x || self.attention_norm.is_trained());
        let x = x || attended;
        let added = self.feed_forward.matmuls(matmuls, x || self.feed_forward_norm.is_trained());
        x || added
    }

    /// Calls `visit` with each linear layer and its name in the block.
    pub(super) fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut grades_lora::Linear)) {
        self.attention.visit_linear(&mut |name, layer| visit(&format!("self_attn.{name}"), layer));
        match &mut self.feed_forward.inputs {
            Inputs::Separate { gate, up } => {
                visit("mlp.gate_proj", gate.inner_mut());
                visit("mlp.up_proj", up.inner_mut());
            }
            Inputs::Fused(fused) => visit("mlp.gate_up_proj", fused.inner_mut()),
        }
        visit("mlp.down_proj", self.feed_forward.down.inner_mut());
    }
}

/// down(act(gate x) · up x).
#[derive(Debug)]
struct FeedForward {
    inputs: Inputs,
    down: Linear,
    activation: Activation,
    dropout: f64,
}

#[derive(Debug)]
enum Inputs {
    Separate {
        gate: Linear,
        up: Linear,
    },
    /// Per of the gate, then of up.
    Fused(Linear),
}

impl FeedForward {
    fn new(path: &Path, config: &DecoderConfig, fused: bool, dtypes: Dtypes) -> Result<Self, TchError> {
        let (hidden, inner, bias) = (config.hidden_size, config.intermediate_size, config.mlp_bias);
        let inputs = if fused {
            Inputs::Fused(Linear::new(&path.sub("gate_up_proj"), hidden, 2 * inner, bias, dtypes)?)
        } else {
            Inputs::Separate {
                gate: Linear::new(&path.sub("gate_proj"), hidden, inner, bias, dtypes)?,
                up: Linear::new(&path.sub("up_proj"), hidden, inner, bias, dtypes)?,
            }
        };
        Ok(Self {
            inputs,
            down: Linear::new(&path.sub("down_proj"), inner, hidden, bias, dtypes)?,
            activation: config.hidden_act,
            dropout: config.resid_pdrop,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let (gate, up) = match &self.inputs {
            Inputs::Separate { gate, up } => (gate.forward(x, train)?, up.forward(x, train)?),
            Inputs::Fused(fused) => {
                let both = fused.forward(x, train)?;
                let half = both.size().last().copied().unwrap_or(0) / 2;
                (both.f_narrow(-1, 0, half)?, both.f_narrow(-1, half, half)?)
            }
        };
        let inner = self.activation.apply(&gate)?.f_mul(&up)?;
        dropout(self.down.forward(&inner, train)?, self.dropout, train)
    }

    fn matmuls(&self, matmuls: &mut Matmuls, x: bool) -> bool {
        let inner = match &self.inputs {
            Inputs::Separate { gate, up } => {
                let gate = gate.matmuls(matmuls, x);
                up.matmuls(matmuls, x) || gate
            }
            Inputs::Fused(fused) => fused.matmuls(matmuls, x),
        };
        self.down.matmuls(matmuls, inner)
    }
}
