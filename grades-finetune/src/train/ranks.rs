//! The processes of a run: rank 0 leads the others.
//!
//! Every rank has the model, the data and the optimizer. Rank 0 has the run's folder too: it decides what comes next, and says so
//! before each action that the others take part in. The others train their batches, and wait.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use grades::distributed::{Backend, Buckets, Group, Launcher, Ranks, Sharding};
use grades::torch::generator_state;
use tch::Device;

use crate::checkpoint::generators;
use crate::config::{DeviceChoice, RunConfig, Shard};
use crate::run::Interrupt;
use crate::tasks::{Optimizer, Ranks as EvaluationRanks, Split, Task};

/// The processes of a run, connected.
#[derive(Debug, Clone)]
pub(crate) struct RunRanks {
    group: Group,
}

/// The next action of all ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The run begins.
    Begin,
    /// A step.
    Step,
    /// Rank 0 writes a checkpoint, and needs the others' random numbers and optimizer states.
    Checkpoint,
    /// The statistics of the last step are read.
    Flush,
    /// The weights that cool by averaging become their means.
    Average,
    /// The weights become those of the best evaluation, which rank 0 has.
    Best,
    /// An evaluation, of which each rank makes its share.
    Evaluate(Split),
    /// The run is over; the exit code of all.
    End(u8),
}

/// The code of the end of a run with the exit code 0.
const END: u16 = 100;

impl Order {
    fn code(self) -> f64 {
        match self {
            Self::Begin => 1.0,
            Self::Step => 2.0,
            Self::Checkpoint => 3.0,
            Self::Flush => 4.0,
            Self::Average => 5.0,
            Self::Best => 6.0,
            Self::Evaluate(Split::Eval) => 7.0,
            Self::Evaluate(Split::Test) => 8.0,
            Self::End(code) => f64::from(END) + f64::from(code),
        }
    }

    fn of(code: f64) -> Option<Self> {
        Some(match code as u16 {
            1 => Self::Begin,
            2 => Self::Step,
            3 => Self::Checkpoint,
            4 => Self::Flush,
            5 => Self::Average,
            6 => Self::Best,
            7 => Self::Evaluate(Split::Eval),
            8 => Self::Evaluate(Split::Test),
            end => Self::End(u8::try_from(end.checked_sub(END)?).ok()?),
        })
    }
}

impl RunRanks {
    /// Connects to the other processes, where a launcher started this one; sets the device that is this rank's own.
    pub(crate) fn join(
        launcher: Launcher,
        config: &mut RunConfig,
        timeout: Duration,
    ) -> Result<Option<Self>> {
        let ranks = match launcher {
            Launcher::Torchrun => Ranks::from_env()?,
            other => Some(Ranks::from_launcher(other)?),
        };
        let Some(ranks) = ranks else { return Ok(None) };
        let mut device = config.model.device.device()?;
        if device.is_cuda() {
            config.model.device = DeviceChoice::Cuda(ranks.local_rank);
            device = config.model.device.device()?;
        }
        let group = Group::join(&ranks, Backend::for_device(device), timeout)?;
        Ok(Some(Self { group }))
    }

    /// Returns whether this process leads the run.
    pub(crate) fn leads(&self) -> bool {
        self.group.rank() == 0
    }

    /// Returns the number of processes.
    pub(crate) fn world(&self) -> usize {
        self.group.world()
    }

    /// Gives all ranks the weights of rank 0, and sums gradients over them from here on. The configuration is compared first.
    pub(super) fn attach(
        &self,
        optimizer: Optimizer,
        task: &dyn Task,
        config: &RunConfig,
    ) -> Result<Optimizer> {
        let mut compared = config.clone();
        // These may differ: each rank has its own device, and rank 0 alone shows anything.
        compared.model.device = DeviceChoice::Auto;
        compared.output.quiet = true;
        let text = toml::to_string(&compared).context("comparing configurations")?;
        self.group.compare("configuration", text.as_bytes())?;
        self.group.broadcast(task.store())?;
        let sharding = match config.distributed.shard {
            Shard::None => Sharding::None,
            Shard::Optimizer => Sharding::Optimizer,
        };
        let buckets = Buckets::default().with_sharding(sharding);
        let optimizer = optimizer.distributed(&self.group, buckets)?;
        if !self.leads() {
            self.seed(config, 0);
        }
        Ok(optimizer)
    }

    /// Checks that the files which the run reads have the same contents on all ranks.
    pub(super) fn compare_inputs(&self, digests: impl Iterator<Item = String>) -> Result<()> {
        Ok(self.group.compare("data and model files", digests.collect::<Vec<_>>().join("\n").as_bytes())?)
    }

    /// Seeds the generators of a rank that has no saved state of them.
    pub(super) fn seed(&self, config: &RunConfig, step: u64) {
        let own = (self.group.rank() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(step);
        tch::manual_seed((config.training.seed ^ own).cast_signed());
    }

    /// Says on rank 0 which checkpoint the run goes on from, and returns it on the others.
    pub(super) fn share_checkpoint(&self, path: Option<&Path>) -> Result<Option<PathBuf>> {
        let text =
            path.map(|path| path.to_str().context("the path of the run's folder is no text")).transpose()?;
        let numbers: Vec<f64> = text.unwrap_or_default().bytes().map(f64::from).collect();
        let all = self.group.gather(if self.leads() { &numbers } else { &[] })?;
        let bytes = all.first().into_iter().flatten().map(|number| *number as u8).collect();
        let text = String::from_utf8(bytes).context("the path of the checkpoint")?;
        Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
    }

    /// Checks that all ranks have restored the same weights and the same state of freezing.
    pub(super) fn compare(&self, optimizer: &Optimizer) -> Result<()> {
        Ok(optimizer.compare_ranks()?)
    }

    /// Gives all ranks the variables of rank 0.
    pub(super) fn broadcast(&self, task: &dyn Task) -> Result<()> {
        Ok(self.group.broadcast(task.store())?)
    }

    /// Ends the other ranks of a run that has nothing to do.
    pub(crate) fn dismiss(&self) -> Result<()> {
        self.order(Order::End(0), &Interrupt::never())
    }

    /// Says what comes next. Where another rank was asked to end, this one is too.
    pub(super) fn order(&self, order: Order, interrupt: &Interrupt) -> Result<()> {
        let mut numbers = [order.code(), 0.0];
        self.group.sum(&mut numbers)?;
        if numbers[1] > 0.0 {
            interrupt.request();
        }
        Ok(())
    }

    /// Waits for what comes next, and says to rank 0 whether this process was asked to end.
    pub(super) fn receive(&self, interrupt: &Interrupt) -> Result<Order> {
        let mut numbers = [0.0, f64::from(u8::from(interrupt.is_requested()))];
        self.group.sum(&mut numbers)?;
        Order::of(numbers[0]).ok_or_else(|| anyhow!("rank 0 sent the order {}, which is unknown", numbers[0]))
    }

    /// Returns the states of the random number generators of the other ranks, by their names in checkpoints.
    pub(super) fn gather_generators(&self, device: Device) -> Result<Vec<(String, Vec<u8>)>> {
        let mut states = Vec::new();
        for (name, device) in generators(device) {
            let own: Vec<f64> = generator_state(device)?.into_iter().map(f64::from).collect();
            for (rank, state) in self.group.gather(&own)?.into_iter().enumerate().skip(1) {
                states.push((generator_of(name, rank), state.into_iter().map(|byte| byte as u8).collect()));
            }
        }
        Ok(states)
    }

    /// Returns the name that this rank's generator has in checkpoints.
    pub(super) fn generator_name(&self, name: &str) -> String {
        generator_of(name, self.group.rank())
    }
}

impl EvaluationRanks for RunRanks {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn world(&self) -> usize {
        self.group.world()
    }

    fn sum(&self, numbers: &mut [f64]) -> Result<()> {
        Ok(self.group.sum(numbers)?)
    }
}

fn generator_of(name: &str, rank: usize) -> String {
    if rank == 0 { name.to_owned() } else { format!("{name}@{rank}") }
}
