//! The operations of a run, added up as it goes on.

use grades_models::flops::{BatchShape, Matmuls};

/// Adds up the FLOPs of a run's steps, what they would have been if nothing had been frozen, and those of evaluations
/// between steps.
///
/// ```
/// use grades_finetune::state::FlopMeter;
/// use grades_models::flops::{BatchShape, Matmuls, Per};
///
/// let (mut all, mut frozen) = (Matmuls::default(), Matmuls::default());
/// all.add(Per::Token, 10, true, true);
/// frozen.add(Per::Token, 10, true, false);
/// let mut meter = FlopMeter::new(all);
/// let batch = BatchShape::new(1, 1, 0);
/// assert_eq!(meter.step(batch), 60);
/// meter.change(frozen);
/// assert_eq!(meter.step(batch), 40);
/// assert_eq!((meter.total(), meter.without_freezing()), (100, 120));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlopMeter {
    all: Matmuls,
    now: Matmuls,
    total: u128,
    without_freezing: u128,
    validation: u128,
}

impl FlopMeter {
    /// A meter of a run that begins with these matmuls, nothing being frozen yet.
    pub fn new(all: Matmuls) -> Self {
        Self { now: all.clone(), all, total: 0, without_freezing: 0, validation: 0 }
    }

    /// Goes on with what another meter of the same matmuls had added up: its total, that without freezing, and that of
    /// evaluations.
    #[must_use]
    pub fn resumed(mut self, total: u128, without_freezing: u128, validation: u128) -> Self {
        (self.total, self.without_freezing, self.validation) = (total, without_freezing, validation);
        self
    }

    /// What the matmuls are from now on: something was frozen, thawed or merged.
    pub fn change(&mut self, now: Matmuls) {
        self.now = now;
    }

    /// Adds a forward and backward pass of a batch; returns its FLOPs.
    pub fn step(&mut self, batch: BatchShape) -> u128 {
        let flops = self.now.total(batch);
        self.total += flops;
        self.without_freezing += self.all.total(batch);
        flops
    }

    /// Adds an evaluation between steps.
    pub fn validate(&mut self, flops: u128) {
        self.validation += flops;
    }

    /// The FLOPs of steps so far.
    pub fn total(&self) -> u128 {
        self.total
    }

    /// What the same steps would have taken if nothing had been frozen.
    pub fn without_freezing(&self) -> u128 {
        self.without_freezing
    }

    /// The FLOPs of evaluations between steps.
    pub fn validation(&self) -> u128 {
        self.validation
    }
}
