//! The products of matrices of a training step, and their sum.

/// How often a product is computed: once for each row of this kind in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Once, whatever the batch.
    Once,
    /// For each row of the batch.
    Sequences,
    /// For each token, padding included.
    Tokens,
    /// For each pair of a token and one that it may see: all of its row, padding included.
    Pairs,
    /// For each token that is predicted.
    Targets,
}

impl Rows {
    const COUNT: usize = 5;

    fn index(self) -> usize {
        match self {
            Self::Once => 0,
            Self::Sequences => 1,
            Self::Tokens => 2,
            Self::Pairs => 3,
            Self::Targets => 4,
        }
    }
}

/// The sizes of a batch that its operations depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchShape {
    rows: u64,
    /// Tokens of a row that go through the model.
    length: u64,
    /// Tokens of a row that each of them sees.
    seen: u64,
    targets: u64,
}

impl BatchShape {
    /// A batch of so many rows of one length, padding included; `targets` are the tokens that are predicted from their
    /// hidden states, of which a classifier has none.
    pub fn new(rows: usize, length: usize, targets: usize) -> Self {
        Self::cached(rows, length, 0, targets)
    }

    /// The same after `before` tokens of each row whose keys and values are kept.
    pub fn cached(rows: usize, length: usize, before: usize, targets: usize) -> Self {
        let [rows, length, before, targets] = [rows, length, before, targets].map(|size| size as u64);
        Self { rows, length, seen: before + length, targets }
    }

    fn counts(self) -> [u128; Rows::COUNT] {
        let [rows, length, seen, targets] = [self.rows, self.length, self.seen, self.targets].map(u128::from);
        [1, rows, rows * length, rows * length * seen, targets]
    }
}

/// The products of matrices of one forward and backward pass, whatever the batch.
///
/// ```
/// use grades_models::flops::{BatchShape, Products, Rows};
///
/// let mut products = Products::default();
/// // Two layers of 8 inputs and 4 outputs, then of 4 and 2; the first is frozen, and its input needs no gradient.
/// let hidden = products.add(Rows::Tokens, 8 * 4, false, false);
/// products.add(Rows::Tokens, 4 * 2, hidden, true);
/// let batch = BatchShape::new(3, 5, 0);
/// assert_eq!(products.forward(batch), 2 * 15 * (32 + 8));
/// assert_eq!(products.backward(batch), 2 * 15 * 8); // the gradient of the second layer's weight alone
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Products {
    /// FLOPs for each row of each kind.
    forward: [u128; Rows::COUNT],
    backward: [u128; Rows::COUNT],
}

impl Products {
    /// Adds a product of `size` multiply-adds for each row; the flags say whether each of its two sides needs a
    /// gradient. Returns whether its result does.
    pub fn add(&mut self, rows: Rows, size: u64, left: bool, right: bool) -> bool {
        let flops = 2 * u128::from(size);
        let sides = u128::from(left) + u128::from(right);
        if let Some(forward) = self.forward.get_mut(rows.index()) {
            *forward += flops;
        }
        if let Some(backward) = self.backward.get_mut(rows.index()) {
            *backward += flops * sides;
        }
        left || right
    }

    /// Adds all products of another part of the model.
    pub fn extend(&mut self, other: &Self) {
        add(&mut self.forward, &other.forward);
        add(&mut self.backward, &other.backward);
    }

    /// Adds the forward products of a part that is computed once more in the backward pass.
    pub fn recompute(&mut self, other: &Self) {
        add(&mut self.backward, &other.forward);
    }

    /// The FLOPs of a forward pass of a batch.
    pub fn forward(&self, batch: BatchShape) -> u128 {
        sum(&self.forward, batch)
    }

    /// The FLOPs of its backward pass, with what is computed again in it.
    pub fn backward(&self, batch: BatchShape) -> u128 {
        sum(&self.backward, batch)
    }

    /// Both together.
    pub fn total(&self, batch: BatchShape) -> u128 {
        self.forward(batch) + self.backward(batch)
    }
}

fn add(to: &mut [u128; Rows::COUNT], from: &[u128; Rows::COUNT]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

fn sum(flops: &[u128; Rows::COUNT], batch: BatchShape) -> u128 {
    flops.iter().zip(batch.counts()).map(|(flops, count)| flops * count).sum()
}
