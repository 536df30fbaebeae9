//! The same tch program without and with GradES: two lines differ, those marked below.
//!
//! `cargo run --release -p grades-examples --example drop_in`

use anyhow::Result;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _; // links the policies that the configuration names
use tch::nn::{self, Module, OptimizerConfig};
use tch::{Device, Kind, Reduction, Tensor};

const STEPS: u64 = 2000;

fn before(vs: &nn::VarStore, net: &impl Module, x: &Tensor, y: &Tensor) -> Result<u64> {
    let mut opt = nn::AdamW::default().build(vs, 3e-3)?;
    for _step in 1..=STEPS {
        let loss = net.forward(x).mse_loss(y, Reduction::Mean);
        opt.backward_step(&loss);
    }
    Ok(STEPS)
}

#[rustfmt::skip] // keeps the changed line one line
fn after(vs: &nn::VarStore, net: &impl Module, x: &Tensor, y: &Tensor) -> Result<u64> {
    let mut opt = FreezingOptimizer::new(nn::AdamW::default().build(vs, 3e-3)?, vs, &freezing()?, STEPS)?; // (1)
    for step in 1..=STEPS {
        let loss = net.forward(x).mse_loss(y, Reduction::Mean);
        if opt.backward_step(&loss)?.should_stop { return Ok(step) } // (2)
    }
    Ok(STEPS)
}

/// Returns the policy of the run; a program would read it from a file.
fn freezing() -> Result<FreezingConfig> {
    Ok(FreezingConfig::from_toml(
        r#"
        [freezing]
        metric = "grad-mean-abs"
        grace = 0.1
        policy = { name = "patience", hits = 5, policy = { name = "fixed-threshold", tau = 2e-4 } }

        [[freezing.components.patterns]] # the network below has names of its own
        match = 'layers\.(?<layer>\d+)\.weight'
        kind = "up"
        "#,
    )?)
}

fn main() -> Result<()> {
    for (name, train) in [("before", before as Train), ("after", after as Train)] {
        tch::manual_seed(1);
        let vs = nn::VarStore::new(Device::Cpu);
        let net = network(&vs.root().sub("layers"));
        let x = Tensor::randn([256, 16], (Kind::Float, Device::Cpu));
        let y = x.sin().sum_dim_intlist(1, true, Kind::Float);
        let steps = train(&vs, &net, &x, &y)?;
        let loss = f64::try_from(net.forward(&x).mse_loss(&y, Reduction::Mean))?;
        println!("{name:<7} {steps} steps, loss {loss:.5}");
    }
    Ok(())
}

type Train = fn(&nn::VarStore, &nn::Sequential, &Tensor, &Tensor) -> Result<u64>;

fn network(path: &nn::Path<'_>) -> nn::Sequential {
    nn::seq()
        .add(nn::linear(path / "0", 16, 64, Default::default()))
        .add_fn(Tensor::tanh)
        .add(nn::linear(path / "1", 64, 64, Default::default()))
        .add_fn(Tensor::tanh)
        .add(nn::linear(path / "2", 64, 1, Default::default()))
}
