//! BERT's embeddings, blocks and pooler.

use std::ops::Range;

use grades_lora::Linear;
use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use super::config::BertConfig;
use super::layers::{Embedding, LayerNorm, dropout, linear};
use crate::activation::Activation;
use crate::files::Dtypes;
use crate::flops::{Matmuls, Per, linear_matmuls};

/// The part of the model that Hugging Face calls `bert`.
#[derive(Debug)]
pub(super) struct Encoder {
    embeddings: Embeddings,
    blocks: Vec<Block>,
    pooler: Linear,
}

impl Encoder {
    /// Creates the layers; under autocast the blocks multiply in bf16, and the pooler, which is small, does not.
    pub(super) fn new(path: &Path, config: &BertConfig, dtypes: Dtypes) -> Result<Self, TchError> {
        let layers = path.sub("encoder").sub("layer");
        let width = config.hidden_size;
        Ok(Self {
            embeddings: Embeddings::new(&path.sub("embeddings"), config, dtypes.parameters)?,
            blocks: (0..config.num_hidden_layers)
                .map(|i| Block::new(&layers.sub(i), config, dtypes))
                .collect::<Result<_, _>>()?,
            pooler: linear(&path.sub("pooler").sub("dense"), width, width, dtypes.plain())?,
        })
    }

    /// Turns token ids [B, T] and their segments [B, T], or none for segment 0, into vectors [B, T, hidden].
    pub(super) fn embed(
        &self,
        ids: &Tensor,
        types: Option<&Tensor>,
        train: bool,
    ) -> Result<Tensor, TchError> {
        self.embeddings.forward(ids, types, train)
    }

    /// Runs hidden states [B, T, hidden] through these blocks; the additive mask is [B, 1, 1, T].
    pub(super) fn run(
        &self,
        mut hidden: Tensor,
        blocks: Range<usize>,
        mask: &Tensor,
        train: bool,
    ) -> Result<Tensor, TchError> {
        for block in self.blocks.get(blocks).unwrap_or_default() {
            hidden = block.forward(&hidden, mask, train)?;
        }
        Ok(hidden)
    }

    /// Turns hidden states [B, T, hidden] into the pooled state [B, hidden].
    pub(super) fn pool(&self, hidden: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.pooler.forward(&hidden.f_select(1, 0)?, train)?.f_tanh()
    }

    /// Returns the number of blocks.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the number of lowest blocks in which nothing trains; 0 while the embeddings do.
    pub(super) fn frozen_blocks(&self) -> usize {
        if self.embeddings.is_trained() {
            return 0;
        }
        self.blocks.iter().take_while(|block| !block.matmuls(&mut Matmuls::default(), false)).count()
    }

    /// Returns the matmuls of these blocks alone.
    pub(super) fn block_matmuls(&self, blocks: Range<usize>) -> Matmuls {
        let mut matmuls = Matmuls::default();
        for block in self.blocks.get(blocks).unwrap_or_default() {
            block.matmuls(&mut matmuls, false);
        }
        matmuls
    }

    /// Adds the matmuls from token ids to the pooled state; returns whether that needs a gradient.
    pub(super) fn matmuls(&self, matmuls: &mut Matmuls) -> bool {
        let mut hidden = self.embeddings.is_trained();
        for block in &self.blocks {
            hidden = block.matmuls(matmuls, hidden);
        }
        linear_matmuls(matmuls, &self.pooler, Per::Sequence, hidden)
    }

    /// Calls `visit` with each linear layer and its name below `bert`.
    pub(super) fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        for (i, block) in self.blocks.iter_mut().enumerate() {
            for (name, layer) in [
                ("attention.self.query", &mut block.query),
                ("attention.self.key", &mut block.key),
                ("attention.self.value", &mut block.value),
                ("attention.output.dense", &mut block.attention_output),
                ("intermediate.dense", &mut block.intermediate),
                ("output.dense", &mut block.output),
            ] {
                visit(&format!("encoder.layer.{i}.{name}"), layer);
            }
        }
        visit("pooler.dense", &mut self.pooler);
    }
}

#[derive(Debug)]
struct Embeddings {
    word: Embedding,
    position: Embedding,
    token_type: Embedding,
    norm: LayerNorm,
    dropout: f64,
}

impl Embeddings {
    fn new(path: &Path, config: &BertConfig, kind: Kind) -> Result<Self, TchError> {
        let table =
            |name, rows, padding| Embedding::new(&path.sub(name), rows, config.hidden_size, padding, kind);
        Ok(Self {
            word: table("word_embeddings", config.vocab_size, config.pad_token_id)?,
            position: table("position_embeddings", config.max_position_embeddings, None)?,
            token_type: table("token_type_embeddings", config.type_vocab_size, None)?,
            norm: LayerNorm::new(&path.sub("LayerNorm"), config.hidden_size, config.layer_norm_eps, kind)?,
            dropout: config.hidden_dropout_prob,
        })
    }

    fn forward(&self, ids: &Tensor, types: Option<&Tensor>, train: bool) -> Result<Tensor, TchError> {
        // Positions count from 0, and without pairs every token is in segment 0: tables are sliced, not looked up.
        let segment = match types {
            Some(types) => self.token_type.forward(types)?,
            None => self.token_type.weight.f_select(0, 0)?,
        };
        let positions = self.position.weight.f_narrow(0, 0, ids.size2()?.1)?;
        let sum = self.word.forward(ids)?.f_add(&segment)?.f_add(&positions)?;
        dropout(self.norm.forward(&sum)?, self.dropout, train)
    }

    fn is_trained(&self) -> bool {
        let tables = [&self.word, &self.position, &self.token_type];
        self.norm.is_trained() || tables.iter().any(|table| table.weight.requires_grad())
    }
}

/// The shares that dropout sets to zero.
#[derive(Debug, Clone, Copy)]
struct Dropouts {
    attention: f64,
    hidden: f64,
}

#[derive(Debug)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    activation: Activation,
    heads: i64,
    dropouts: Dropouts,
    compute: Kind,
}

impl Block {
    fn new(path: &Path, config: &BertConfig, dtypes: Dtypes) -> Result<Self, TchError> {
        let (width, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let kind = dtypes.parameters;
        let attention = path.sub("attention");
        let own = attention.sub("self");
        let after = attention.sub("output");
        let square = |path: Path| linear(&path, width, width, dtypes);
        Ok(Self {
            query: square(own.sub("query"))?,
            key: square(own.sub("key"))?,
            value: square(own.sub("value"))?,
            attention_output: square(after.sub("dense"))?,
            attention_norm: LayerNorm::new(&after.sub("LayerNorm"), width, eps, kind)?,
            intermediate: linear(&path.sub("intermediate").sub("dense"), width, inner, dtypes)?,
            output: linear(&path.sub("output").sub("dense"), inner, width, dtypes)?,
            output_norm: LayerNorm::new(&path.sub("output").sub("LayerNorm"), width, eps, kind)?,
            activation: config.hidden_act,
            heads: config.num_attention_heads,
            dropouts: Dropouts {
                attention: config.attention_probs_dropout_prob,
                hidden: config.hidden_dropout_prob,
            },
            compute: dtypes.compute,
        })
    }

    /// Computes the block. Under autocast the matmuls, attention and the activation are in bf16; norms and the sums that
    /// they are of are not.
    fn forward(&self, x: &Tensor, mask: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let attended = self.attention_output.forward(&self.attention(x, mask, train)?, train)?;
        let attended = dropout(attended, self.dropouts.hidden, train)?;
        let x = self.attention_norm.forward(&attended.f_add(x)?)?;
        let inner = self.activation.apply(&self.intermediate.forward(&x, train)?)?;
        let output = dropout(self.output.forward(&inner, train)?, self.dropouts.hidden, train)?;
        self.output_norm.forward(&output.f_add(&x)?)
    }

    /// Adds the matmuls of [`forward`](Self::forward).
    fn matmuls(&self, matmuls: &mut Matmuls, x: bool) -> bool {
        let width = self.query.base_weight().size().first().and_then(|width| u64::try_from(*width).ok());
        let width = width.unwrap_or(0);
        let [query, key, value] =
            [&self.query, &self.key, &self.value].map(|layer| linear_matmuls(matmuls, layer, Per::Token, x));
        let scores = matmuls.add(Per::TokenPair, width, query, key);
        let attended = matmuls.add(Per::TokenPair, width, scores, value);
        let attended = linear_matmuls(matmuls, &self.attention_output, Per::Token, attended);
        let x = x || attended || self.attention_norm.is_trained();
        let inner = linear_matmuls(matmuls, &self.intermediate, Per::Token, x);
        let output = linear_matmuls(matmuls, &self.output, Per::Token, inner);
        x || output || self.output_norm.is_trained()
    }

    fn attention(&self, x: &Tensor, mask: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let (batch, length, width) = x.size3()?;
        // Once for all three.
        let x = &x.f_to_kind(self.compute)?;
        let heads = |linear: &Linear| {
            let shape = [batch, length, self.heads, width / self.heads];
            linear.forward(x, train)?.f_view(shape)?.f_transpose(1, 2)
        };
        let p = if train { self.dropouts.attention } else { 0.0 };
        let (query, key, value) = (heads(&self.query)?, heads(&self.key)?, heads(&self.value)?);
        Tensor::f_scaled_dot_product_attention(&query, &key, &value, Some(mask), p, false, None, false)?
            .f_transpose(1, 2)?
            .f_reshape([batch, length, width])
    }
}
