//! A short training run, by one process or by a group.

use grades::distributed::{Buckets, Group};
use grades::optim::{AdamConfig, InnerOptimizer, SgdConfig, StatefulOptimizer};
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::{Spec, TinyBert, bits};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;

pub(crate) type Inner = Box<dyn StatefulOptimizer>;

/// A run's settings.
#[derive(Clone)]
pub(crate) struct Recipe {
    /// The table `[freezing]`.
    pub(crate) freezing: &'static str,
    pub(crate) steps: u64,
    /// The micro-batches of a step, of all ranks together.
    pub(crate) micro_batches: u64,
    /// Every fifth step has one micro-batch only, so that some ranks have none.
    pub(crate) uneven: bool,
    pub(crate) clip: Option<f64>,
    pub(crate) buckets: Buckets,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            freezing: "[freezing.policy]\nname = 'quota'\nmax_share = 0.8\nwindow = 3",
            steps: 16,
            micro_batches: 4,
            uneven: true,
            clip: None,
            // Several buckets even for a tiny model.
            buckets: Buckets::default().with_bytes(1200),
        }
    }
}

/// The course of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trace {
    /// After each step, a hash of the bits of all weights and of the saved state.
    pub(crate) hashes: Vec<u32>,
    /// Freezes and thaws: step, transition, component.
    pub(crate) events: Vec<String>,
    /// The bits of the final weights.
    pub(crate) weights: Vec<u32>,
    /// Of each step the bytes of gradients that this rank sent, the messages, and those sent during the backward pass; the
    /// bytes of all gradients that the step had.
    pub(crate) traffic: Vec<(u64, u64, u64, u64)>,
}

pub(crate) fn adamw(vs: &VarStore) -> Inner {
    Box::new(AdamConfig::adamw().build(vs, 1e-2).unwrap())
}

pub(crate) fn sgd(vs: &VarStore) -> Inner {
    Box::new(SgdConfig::new().momentum(0.9).wd(0.01).build(vs, 5e-2).unwrap())
}

impl Recipe {
    /// A policy and settings of the table.
    pub(crate) fn freezing(freezing: &'static str) -> Self {
        Self { freezing, ..Self::default() }
    }

    /// Trains a new model.
    pub(crate) fn run(&self, make: fn(&VarStore) -> Inner, group: Option<&Group>) -> Trace {
        let model = TinyBert::new(Spec::default());
        let optimizer = self.optimizer(make(&model.vs), &model, group);
        self.train(optimizer, &model, group, state, 1..=self.steps)
    }

    /// As [`run`](Self::run), with an optimizer of tch.
    pub(crate) fn run_tch(&self, group: Option<&Group>) -> Trace {
        use tch::nn::OptimizerConfig;
        let model = TinyBert::new(Spec::default());
        let inner = tch::nn::AdamW::default().build(&model.vs, 1e-2).unwrap();
        let optimizer = self.optimizer(inner, &model, group);
        self.train(optimizer, &model, group, |_| Vec::new(), 1..=self.steps)
    }

    pub(crate) fn optimizer<O: InnerOptimizer>(
        &self,
        inner: O,
        model: &TinyBert,
        group: Option<&Group>,
    ) -> FreezingOptimizer<O> {
        let config = FreezingConfig::from_toml(self.freezing).unwrap();
        let optimizer = FreezingOptimizer::new(inner, &model.vs, &config, self.steps).unwrap();
        match group {
            Some(group) => optimizer.distributed(group, self.buckets.clone()).unwrap(),
            None => optimizer,
        }
    }

    /// Takes steps; `state` returns what an optimizer saves.
    pub(crate) fn train<O: InnerOptimizer>(
        &self,
        mut optimizer: FreezingOptimizer<O>,
        model: &TinyBert,
        group: Option<&Group>,
        state: fn(&mut FreezingOptimizer<O>) -> Vec<u8>,
        steps: std::ops::RangeInclusive<u64>,
    ) -> Trace {
        let mut trace = Trace { hashes: vec![], events: vec![], weights: vec![], traffic: vec![] };
        for step in steps {
            let report = self.step(&mut optimizer, model, group, step, &mut trace.traffic);
            let mut bytes: Vec<u8> = weights(model).iter().flat_map(|bits| bits.to_le_bytes()).collect();
            bytes.extend(state(&mut optimizer));
            trace.hashes.push(hash(&bytes));
            for event in report.events {
                trace.events.push(format!("{step} {:?} {}", event.event, event.component));
            }
            if report.should_stop {
                break;
            }
        }
        drop(optimizer.finish().unwrap());
        trace.weights = weights(model);
        trace
    }

    /// Takes one step.
    pub(crate) fn step<O: InnerOptimizer>(
        &self,
        optimizer: &mut FreezingOptimizer<O>,
        model: &TinyBert,
        group: Option<&Group>,
        step: u64,
        traffic: &mut Vec<(u64, u64, u64, u64)>,
    ) -> grades::tracker::StepReport {
        optimizer.zero_grad().unwrap();
        let count = if self.uneven && step % 5 == 4 { 1 } else { self.micro_batches };
        let (rank, world) = group.map_or((0, 1), |group| (group.rank() as u64, group.world() as u64));
        let own: Vec<u64> = (0..count).filter(|index| index % world == rank).collect();
        for index in &own {
            if own.last() == Some(index) {
                optimizer.begin_last_backward().unwrap();
            }
            let loss = model.loss(step * self.micro_batches + index);
            optimizer.backward_accumulate(&loss, 1.0 / count as f64).unwrap();
        }
        if let Some(max) = self.clip {
            optimizer.clip_grad_norm(max).unwrap();
        }
        let gradients = optimizer.trainable_variables().iter().map(grades::torch::byte_len).sum();
        let report = optimizer.step().unwrap();
        if let Some(sent) = optimizer.traffic() {
            traffic.push((sent.bytes, sent.buckets, sent.early, gradients));
        }
        report
    }
}

/// The state that an optimizer saves, as bytes: moments and the tracker.
pub(crate) fn state(optimizer: &mut FreezingOptimizer<Inner>) -> Vec<u8> {
    let tracker = toml::to_string(&optimizer.tracker().state().unwrap()).unwrap();
    let saved = optimizer.get_ref().save_state();
    let moments = saved.parameters.values().flat_map(|parameter| {
        let bits = parameter.tensors.values().flat_map(bits).flat_map(u32::to_le_bytes);
        parameter.steps.to_le_bytes().into_iter().chain(bits).collect::<Vec<u8>>()
    });
    tracker.into_bytes().into_iter().chain(moments).collect()
}

/// The bits of all weights, in the order of their names.
pub(crate) fn weights(model: &TinyBert) -> Vec<u32> {
    model.variables().flat_map(|(_, variable)| bits(variable)).collect()
}

/// FNV-1a, folded to 32 bits.
pub(crate) fn hash(bytes: &[u8]) -> u32 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as u32
}
