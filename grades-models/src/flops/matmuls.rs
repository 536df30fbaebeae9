//! Matrix products (matmuls) of a training step, and their FLOPs for a batch.

/// How often a batch computes a matmul: once for each of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Once for the whole batch.
    Batch,
    /// Once for each sequence, a row of the batch.
    Sequence,
    /// Once for each token, padding included.
    Token,
    /// Once for each pair of a token and a token that it attends to: all of its row, padding included.
    TokenPair,
    /// Once for each token that is predicted.
    Target,
}

impl Per {
    const COUNT: usize = 5;

    fn index(self) -> usize {
        match self {
            Self::Batch => 0,
            Self::Sequence => 1,
            Self::Token => 2,
            Self::TokenPair => 3,
            Self::Target => 4,
        }
    }
}

/// The sizes of a batch that its FLOPs depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchShape {
    rows: u64,
    /// Tokens of a row that go through the model.
    length: u64,
    /// Tokens of a row that each of them attends to.
    context: u64,
    targets: u64,
}

impl BatchShape {
    /// Creates the shape of `rows` sequences of `length` tokens each, padding included, of which `targets` tokens in
    /// all are predicted (0 for a classifier).
    pub fn new(rows: usize, length: usize, targets: usize) -> Self {
        Self::cached(rows, length, 0, targets)
    }

    /// Creates the shape of `length` further tokens of each row, whose `before` previous tokens are in a
    /// [`Cache`](crate::decoder::Cache).
    pub fn cached(rows: usize, length: usize, before: usize, targets: usize) -> Self {
        let [rows, length, before, targets] = [rows, length, before, targets].map(|size| size as u64);
        Self { rows, length, context: before + length, targets }
    }

    /// Returns the number of tokens that go through the model, padding included.
    pub fn tokens(self) -> u64 {
        self.rows * self.length
    }

    fn counts(self) -> [u128; Per::COUNT] {
        let [rows, length, context, targets] =
            [self.rows, self.length, self.context, self.targets].map(u128::from);
        [1, rows, rows * length, rows * length * context, targets]
    }
}

/// The matmuls of one forward and backward pass, from which the FLOPs of a batch of any shape follow.
///
/// ```
/// use grades_models::flops::{BatchShape, Matmuls, Per};
///
/// let mut matmuls = Matmuls::default();
/// // Two layers: 8 inputs to 4 outputs, frozen, whose input needs no gradient; then 4 to 2.
/// let hidden = matmuls.add(Per::Token, 8 * 4, false, false);
/// matmuls.add(Per::Token, 4 * 2, hidden, true);
///
/// let batch = BatchShape::new(3, 5, 0);
/// assert_eq!(matmuls.forward(batch), 2 * 15 * (32 + 8));
/// // The backward pass has the gradient of the second layer's weight alone.
/// assert_eq!(matmuls.backward(batch), 2 * 15 * 8);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matmuls {
    /// FLOPs, by [`Per::index`].
    forward: [u128; Per::COUNT],
    backward: [u128; Per::COUNT],
}

impl Matmuls {
    /// Adds a matmul of `size` multiply-adds per `per`; `left` and `right` say whether each factor needs a gradient.
    /// Returns whether the product does.
    pub fn add(&mut self, per: Per, size: u64, left: bool, right: bool) -> bool {
        let flops = 2 * u128::from(size);
        let gradients = u128::from(left) + u128::from(right);
        if let Some(forward) = self.forward.get_mut(per.index()) {
            *forward += flops;
        }
        if let Some(backward) = self.backward.get_mut(per.index()) {
            *backward += flops * gradients;
        }
        left || right
    }

    /// Adds all matmuls of another part of the model.
    pub fn extend(&mut self, other: &Self) {
        add(&mut self.forward, &other.forward);
        add(&mut self.backward, &other.backward);
    }

    /// Adds the forward matmuls of a part that the backward pass computes once more (activation checkpointing).
    pub fn recompute(&mut self, other: &Self) {
        add(&mut self.backward, &other.forward);
    }

    /// Returns the FLOPs of the forward pass of a batch.
    pub fn forward(&self, batch: BatchShape) -> u128 {
        sum(&self.forward, batch)
    }

    /// Returns the FLOPs of the backward pass of a batch, recomputed parts included.
    pub fn backward(&self, batch: BatchShape) -> u128 {
        sum(&self.backward, batch)
    }

    /// Returns the FLOPs of the forward and the backward pass.
    pub fn total(&self, batch: BatchShape) -> u128 {
        self.forward(batch) + self.backward(batch)
    }
}

fn add(to: &mut [u128; Per::COUNT], from: &[u128; Per::COUNT]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

fn sum(flops: &[u128; Per::COUNT], batch: BatchShape) -> u128 {
    flops.iter().zip(batch.counts()).map(|(flops, count)| flops * count).sum()
}
