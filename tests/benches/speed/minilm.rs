//! A training step of MiniLM, with components frozen.

use grades::config::Followers;
use grades::optim::{AdamConfig, AdamW, InnerOptimizer};
use grades::policy::{Cause, Decision, FreezePolicy, Measure, Observation};
use grades::statistic::{Statistic, StatisticSet};
use grades::{FreezingConfig, FreezingOptimizer};
use grades_models::Prefix;
use grades_models::bert::{BertClassifier, LoadOptions};
use tch::{Device, Kind, Tensor};

use crate::python::workspace;
use crate::timing::milliseconds;

pub(crate) const BATCH: i64 = 32;
pub(crate) const TOKENS: i64 = 64;

/// Freezes the components that it names at the first check that counts.
#[derive(Debug, Clone)]
struct These(Vec<String>, Statistic);

impl FreezePolicy for These {
    fn name(&self) -> &'static str {
        "these"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([self.1])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        if !self.0.contains(&observation.component().name) {
            return Decision::Keep;
        }
        let measure = Measure::Statistic(self.1);
        Decision::Freeze(Cause::new("these", measure, 0.0, 0.0))
    }
}

pub(crate) fn model() -> BertClassifier {
    tch::manual_seed(1);
    let labels = Some(vec!["a".to_owned(), "b".to_owned()]);
    let options = LoadOptions { labels, ..LoadOptions::default() };
    BertClassifier::load(&workspace("models/all-MiniLM-L6-v2"), options).unwrap().0
}

/// The token ids of a batch, the same for PyTorch.
pub(crate) fn ids() -> Vec<Vec<i64>> {
    (0..BATCH)
        .map(|row| (0..TOKENS).map(|column| 1000 + (row * 7919 + column * 104_729) % 20_000).collect())
        .collect()
}

/// A batch and what is computed of it.
pub(crate) struct Batch {
    ids: Tensor,
    mask: Tensor,
    labels: Tensor,
    /// The output of the blocks below the first that a step runs.
    prefix: Option<Prefix>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let ids = Tensor::from_slice2(&ids());
        let mask = Tensor::ones([BATCH, TOKENS], (Kind::Int64, Device::Cpu));
        Self {
            ids,
            mask,
            labels: Tensor::arange(BATCH, (Kind::Int64, Device::Cpu)).remainder(2),
            prefix: None,
        }
    }

    pub(crate) fn loss(&self, model: &BertClassifier) -> Tensor {
        let logits = match &self.prefix {
            Some(prefix) => model.forward_from(prefix, &self.mask, true).unwrap(),
            None => model.forward(&self.ids, &self.mask, true).unwrap(),
        };
        logits.cross_entropy_for_logits(&self.labels)
    }
}

/// A model under the wrapper.
pub(crate) struct Run {
    pub(crate) model: BertClassifier,
    pub(crate) optimizer: FreezingOptimizer<AdamW>,
    batch: Batch,
}

impl Run {
    /// With these components frozen; with `closing`, the rest of their blocks too.
    pub(crate) fn frozen(components: Vec<String>, closing: bool) -> Self {
        Self::new(These(components, Statistic::GradL1), closing)
    }

    /// With nothing frozen, and a policy that reads this.
    pub(crate) fn watching(statistic: Statistic) -> Self {
        Self::new(These(Vec::new(), statistic), true)
    }

    fn new(policy: These, closing: bool) -> Self {
        let model = model();
        let followers = if closing { Followers::WithBlock } else { Followers::Keep };
        let config = FreezingConfig::new(policy).with_followers(followers);
        let inner = AdamConfig::adamw().build(model.var_store(), 1e-5).unwrap();
        let optimizer = FreezingOptimizer::new(inner, model.var_store(), &config, u64::MAX).unwrap();
        let mut run = Self { model, optimizer, batch: Batch::new() };
        for _ in 0..3 {
            run.step();
        }
        run
    }

    /// The same with steps that begin above this many blocks.
    pub(crate) fn begin_above(mut self, blocks: usize) -> Self {
        assert!(self.model.frozen_blocks() >= blocks);
        let prefix = self.model.prefix(&self.batch.ids, &self.batch.mask, blocks).unwrap();
        self.batch.prefix = Some(prefix);
        self
    }

    /// The milliseconds of one training step.
    pub(crate) fn step(&mut self) -> f64 {
        milliseconds(|| {
            let loss = self.batch.loss(&self.model);
            self.optimizer.backward_step(&loss).unwrap();
            self.optimizer.zero_grad().unwrap();
        })
    }

    /// The names of all variables that do not train.
    pub(crate) fn frozen_names(&self) -> Vec<String> {
        let variables = self.model.var_store().variables();
        let mut names: Vec<String> = variables
            .into_iter()
            .filter(|(_, variable)| !variable.requires_grad())
            .map(|(name, _)| name)
            .collect();
        names.sort();
        names
    }
}

/// The names of all components, from the bottom block up.
pub(crate) fn components() -> Vec<String> {
    let run = Run::frozen(Vec::new(), false);
    run.optimizer.components().iter().map(|component| component.name.clone()).collect()
}

/// The names of the share of the components that is frozen: from the bottom up, or any.
pub(crate) fn chosen(all: &[String], percent: usize, from_below: bool) -> Vec<String> {
    let count = all.len() * percent / 100;
    let mut order: Vec<usize> = (0..all.len()).collect();
    if !from_below {
        // A fixed shuffle.
        order.sort_by_key(|index| (index * 7919 + 13) % 101);
    }
    order.into_iter().take(count).map(|index| all[index].clone()).collect()
}

/// A bare optimizer on the same model.
pub(crate) struct Bare {
    model: BertClassifier,
    optimizer: AdamW,
    batch: Batch,
}

impl Bare {
    pub(crate) fn new() -> Self {
        let model = model();
        let optimizer = AdamConfig::adamw().build(model.var_store(), 1e-5).unwrap();
        Self { model, optimizer, batch: Batch::new() }
    }

    pub(crate) fn step(&mut self) -> f64 {
        milliseconds(|| {
            let loss = self.batch.loss(&self.model);
            self.optimizer.zero_grad().unwrap();
            loss.backward();
            self.optimizer.step().unwrap();
            self.optimizer.zero_grad().unwrap();
        })
    }
}
