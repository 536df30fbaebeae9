//! Computes the loss of a batch and its gradients, with or without activation checkpointing.
//!
//! The gradients of the output matrix and of the hidden states are computed piece by piece while the loss is; what
//! is left is the product of hidden states and their gradients, whose own gradient completes the rest.

use tch::{Kind, Reduction, Tensor};

use super::Decoder;
use super::attention::Context;
use super::forward::Tokens;
use super::loss::Targets;
use crate::error::Result;

/// Options of [`Decoder::backward`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backward {
    /// The factor of the sum of the losses: 1 ÷ the targets of an optimizer step gives the gradients of the mean.
    pub scale: f64,
    /// Activation checkpointing (Chen et al., arXiv 1604.06174): save only the input of each block, and compute the block
    /// once more for its gradients. Less memory, a third more work, the same gradients bit for bit.
    pub checkpointing: bool,
    /// Seed of dropout in this batch, the model's own and that of adapters; without one nothing is dropped. torch's own generator
    /// is seeded anew for each block, so that a block that is computed again drops the same elements.
    pub dropout: Option<u64>,
}

/// A loss whose gradients are complete once [`rest`](Self::rest) has been differentiated.
#[derive(Debug)]
pub struct Pass {
    /// The sum of the targets' cross-entropies, in nats, a scalar without a graph.
    pub loss: Tensor,
    /// Call `backward` on it to add the remaining gradients; its value is meaningless.
    pub rest: Tensor,
}

impl Decoder {
    /// Computes the loss of a batch, and adds the gradients of `scale` times its sum to those of the variables.
    ///
    /// The gradients of a part of the variables are there when this returns; the others' come with `backward` on
    /// [`Pass::rest`].
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) for shapes that do not fit or no target,
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn backward(&self, tokens: &Tokens, targets: &Targets, how: Backward) -> Result<Pass> {
        let dropout = how.dropout;
        let context = self.context(tokens, 0, dropout.is_some())?;
        if how.checkpointing {
            return self.backward_in_segments(tokens, targets, &context, how.scale, dropout);
        }
        let (first, mut x) = self.start(tokens)?;
        for (layer, block) in self.blocks.list.iter().enumerate().skip(first) {
            seed_block(dropout, layer);
            x = block.forward(&x, &context, None)?;
        }
        let (loss, rest) = self.backward_from(&x, targets, how.scale)?;
        Ok(Pass { loss, rest: rest.map_or_else(nothing, Ok)? })
    }

    fn backward_in_segments(
        &self,
        tokens: &Tokens,
        targets: &Targets,
        context: &Context,
        scale: f64,
        dropout: Option<u64>,
    ) -> Result<Pass> {
        let (first, start) = self.start(tokens)?;
        // Whether anything before each block, or before the head, is trained; from the first block of the pass on.
        let mut trained = vec![start.requires_grad()];
        for own in self.trained_blocks().into_iter().skip(first) {
            trained.push(own || trained.last().copied().unwrap_or(false));
        }
        let mut inputs = Vec::with_capacity(self.blocks.list.len());
        let mut x = start.f_detach()?;
        {
            let _no_grad = tch::no_grad_guard();
            for (layer, block) in self.blocks.list.iter().enumerate().skip(first) {
                seed_block(dropout, layer);
                let next = block.forward(&x, context, None)?;
                inputs.push(std::mem::replace(&mut x, next));
            }
        }
        let leaf = x.f_set_requires_grad(trained.last().copied().unwrap_or(false))?;
        let (loss, rest) = self.backward_from(&leaf, targets, scale)?;
        let Some(rest) = rest else { return Ok(Pass { loss, rest: nothing()? }) };
        rest.f_backward()?;
        let mut gradient = leaf.grad();
        drop((rest, leaf, x));
        for ((layer, block), &before) in self.blocks.list.iter().enumerate().skip(first).zip(&trained).rev() {
            let (Some(input), true) = (inputs.pop(), gradient.defined()) else { break };
            let leaf = input.f_set_requires_grad(before)?;
            seed_block(dropout, layer);
            let output = block.forward(&leaf, context, None)?;
            if !output.requires_grad() {
                break;
            }
            product(&output, &gradient)?.f_backward()?;
            gradient = leaf.grad();
        }
        let trains_below = trained.first().copied().unwrap_or(false) && gradient.defined();
        let rest = if trains_below { product(&start, &gradient)? } else { nothing()? };
        Ok(Pass { loss, rest })
    }

    /// Returns for each block whether any of its variables trains, those of adapters included.
    fn trained_blocks(&self) -> Vec<bool> {
        let mut trained = vec![false; self.blocks.list.len()];
        for (name, variable) in self.store.variables() {
            let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split('.').next());
            let layer = layer.and_then(|layer| layer.parse::<usize>().ok());
            if let Some(trained) = layer.and_then(|layer| trained.get_mut(layer)) {
                *trained |= variable.requires_grad();
            }
        }
        trained
    }

    /// Computes the last norm, the output matrix and the loss; the second result is what completes the gradients of `x`.
    fn backward_from(&self, x: &Tensor, targets: &Targets, scale: f64) -> Result<(Tensor, Option<Tensor>)> {
        let hidden = self.select(&self.norm.forward(x)?, targets)?;
        let below = hidden.requires_grad();
        let mut sums = Vec::new();
        let mut gradients = Vec::new();
        for (piece, ids) in self.pieces(&hidden.f_detach()?, targets)? {
            let leaf = piece.f_detach()?.f_set_requires_grad(below)?;
            let sum = self.cross_entropy(&leaf, &ids, Reduction::Sum)?;
            if sum.requires_grad() {
                sum.f_mul_scalar(scale)?.f_backward()?;
            }
            if below {
                gradients.push(leaf.grad());
            }
            sums.push(sum.f_detach()?);
        }
        let loss = Tensor::f_stack(&sums, 0)?.f_sum(None::<Kind>)?;
        let rest = below.then(|| product(&hidden, &Tensor::f_cat(&gradients, 0)?)).transpose()?;
        Ok((loss, rest))
    }
}

/// Creates a scalar whose gradient for `x` is `gradient`.
fn product(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let kind = if x.f_kind()? == Kind::Double { Kind::Double } else { Kind::Float };
    Ok(x.f_mul(gradient)?.f_sum(kind)?)
}

/// Creates a scalar that has a graph and no gradients for any variable.
fn nothing() -> Result<Tensor> {
    Ok(Tensor::f_zeros([], (Kind::Float, tch::Device::Cpu))?.f_set_requires_grad(true)?)
}

/// Makes the elements that a block drops depend on the seed and the block alone.
fn seed_block(dropout: Option<u64>, layer: usize) {
    if let Some(seed) = dropout {
        // The multiplier is odd, so different blocks have different seeds.
        let seed = seed.wrapping_add((layer as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        tch::manual_seed(seed.cast_signed());
    }
}
