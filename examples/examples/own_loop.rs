//! A training loop of one's own: a learning-rate schedule, gradient accumulation, clipping, and a checkpoint that resumes
//! exactly.
//!
//! `cargo run --release -p grades-examples --example own_loop`

use std::path::Path;

use anyhow::Result;
use grades::optim::{Adam, AdamConfig};
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _; // links the policies that the configuration names
use tch::nn::{self, Module};
use tch::{Device, Kind, Reduction, Tensor};

const STEPS: u64 = 400;
const MICRO_BATCHES: i64 = 4;
const PEAK_LR: f64 = 3e-3;

/// A network and its optimizer: a process that resumes builds them in the same way.
struct Training {
    vs: nn::VarStore,
    net: nn::Sequential,
    opt: FreezingOptimizer<Adam>,
}

impl Training {
    fn new() -> Result<Self> {
        tch::manual_seed(1);
        let vs = nn::VarStore::new(Device::Cpu);
        let path = vs.root().sub("layers");
        let net = nn::seq()
            .add(nn::linear(&path / "0", 16, 64, Default::default()))
            .add_fn(Tensor::tanh)
            .add(nn::linear(&path / "1", 64, 1, Default::default()));
        let config = FreezingConfig::from_toml(
            r#"
            [freezing]
            policy = { name = "relative-to-peak", rho = 0.3 }
            cooldown = 0 # the schedule below decays the learning rate already
            [[freezing.components.patterns]]
            match = 'layers\.(?<layer>\d+)\.weight'
            kind = "up"
            "#,
        )?;
        // `STEPS` counts optimizer steps: epochs x ceil(examples / (batch size x accumulation steps)).
        let opt =
            FreezingOptimizer::new(AdamConfig::adamw().wd(0.01).build(&vs, PEAK_LR)?, &vs, &config, STEPS)?;
        Ok(Self { vs, net, opt })
    }

    /// One optimizer step; returns whether training should stop.
    fn step(&mut self, step: u64, x: &Tensor, y: &Tensor) -> Result<bool> {
        self.opt.set_lr(learning_rate(step))?;
        self.opt.zero_grad()?;
        for (x, y) in x.chunk(MICRO_BATCHES, 0).iter().zip(y.chunk(MICRO_BATCHES, 0)) {
            let loss = self.net.forward(x).mse_loss(&y, Reduction::Mean);
            // The share of the micro-batch makes the sum of all the mean of the step.
            self.opt.backward_accumulate(&loss, 1.0 / MICRO_BATCHES as f64)?;
        }
        self.opt.clip_grad_norm(1.0)?;
        Ok(self.opt.step()?.should_stop)
    }

    /// Trains from the next step on; returns the last one.
    fn run(&mut self, until: u64, x: &Tensor, y: &Tensor) -> Result<u64> {
        let mut step = self.opt.steps();
        while step < until {
            step += 1;
            if self.step(step, x, y)? {
                break;
            }
        }
        Ok(step)
    }

    /// The parameters and the optimizer's state are two files.
    fn save(&mut self, folder: &Path) -> Result<()> {
        self.vs.save(folder.join("parameters.safetensors"))?;
        Ok(self.opt.save(&folder.join("optimizer.safetensors"))?)
    }

    fn load(&mut self, folder: &Path) -> Result<()> {
        self.vs.load(folder.join("parameters.safetensors"))?;
        Ok(self.opt.load(&folder.join("optimizer.safetensors"))?)
    }
}

/// Warms up over a tenth of the steps, then falls to 0 along half a cosine.
fn learning_rate(step: u64) -> f64 {
    let share = step as f64 / STEPS as f64;
    if share < 0.1 {
        PEAK_LR * share / 0.1
    } else {
        PEAK_LR * 0.5 * (1.0 + ((share - 0.1) / 0.9 * std::f64::consts::PI).cos())
    }
}

fn main() -> Result<()> {
    tch::manual_seed(0);
    let x = Tensor::randn([256, 16], (Kind::Float, Device::Cpu));
    let y = x.sin().sum_dim_intlist(1, true, Kind::Float);
    let mut whole = Training::new()?;
    let steps = whole.run(STEPS, &x, &y)?;

    // The same in two parts, with a checkpoint between them.
    let folder = tempfile::tempdir()?;
    let mut first = Training::new()?;
    first.run(STEPS / 4, &x, &y)?;
    first.save(folder.path())?;
    let mut second = Training::new()?;
    second.load(folder.path())?;
    second.run(STEPS, &x, &y)?;

    let (frozen, total) = (whole.opt.tracker().frozen(), whole.opt.tracker().total());
    println!("{frozen} of {total} components frozen after {steps} steps");
    println!("resumed run equal: {}", whole.net.forward(&x).equal(&second.net.forward(&x)));
    Ok(())
}
