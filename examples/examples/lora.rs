//! LoRA adapters on a model of one's own: train, freeze, save, load, merge.
//!
//! `cargo run --release -p grades-examples --example lora`

use anyhow::Result;
use grades::optim::AdamConfig;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_lora::{Adapters, Linear, LinearLayers, LoadOptions, LoraConfig};
use grades_policies as _; // links the policies that the configuration names
use tch::{Device, Kind, Reduction, Tensor, nn};

const STEPS: u64 = 600;

struct Net {
    up: Linear,
    down: Linear,
}

impl Net {
    fn new(vs: &nn::VarStore) -> Self {
        let layers = vs.root().sub("layers");
        Self {
            up: nn::linear(&layers / "0" / "up", 16, 64, Default::default()).into(),
            down: nn::linear(&layers / "0" / "down", 64, 4, Default::default()).into(),
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.down.forward(&self.up.forward(x, train)?.f_tanh()?, train)?)
    }
}

// The names are those of the variables, without `.weight`.
impl LinearLayers for Net {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        visit("layers.0.up", &mut self.up);
        visit("layers.0.down", &mut self.down);
    }
}

fn main() -> Result<()> {
    tch::manual_seed(1);
    let vs = nn::VarStore::new(Device::Cpu);
    let mut net = Net::new(&vs);
    let folder = tempfile::tempdir()?;
    let base = folder.path().join("base.safetensors");
    vs.save(&base)?;
    let x = Tensor::randn([256, 16], (Kind::Float, Device::Cpu));
    let y = x.sin().view([256, 4, 4]).sum_dim_intlist(2, false, Kind::Float);

    // From here on the adapters train, and nothing else. Each adapter is a component, its A and B together.
    let mut adapters = Adapters::new();
    adapters.add(&mut net, &vs, "default", &LoraConfig::new(4).alpha(8.0))?;
    let config = FreezingConfig::from_toml(
        r#"
        [freezing]
        grace = 0.1
        policy = { name = "relative-to-peak", rho = 0.3 }
        "#,
    )?;
    let mut opt = FreezingOptimizer::new(AdamConfig::adamw().build(&vs, 1e-2)?, &vs, &config, STEPS)?;
    let before = f64::try_from(net.forward(&x, false)?.mse_loss(&y, Reduction::Mean))?;
    for _ in 0..STEPS {
        let loss = net.forward(&x, true)?.mse_loss(&y, Reduction::Mean);
        let report = opt.backward_step(&loss)?;
        for event in &report.events {
            println!("step {}: {} froze", event.step, event.component);
        }
        if report.should_stop {
            break;
        }
    }
    let trained = net.forward(&x, false)?;
    let after = f64::try_from(trained.mse_loss(&y, Reduction::Mean))?;
    println!("loss {before:.3} before, {after:.3} after {} steps", opt.steps());

    // `adapter_config.json` and `adapter_model.safetensors`, which PEFT reads as well.
    let saved = folder.path().join("adapter");
    adapters.save("default", &saved)?;

    let mut vs = nn::VarStore::new(Device::Cpu);
    let mut again = Net::new(&vs);
    vs.load(&base)?;
    let mut adapters = Adapters::new();
    adapters.load(&mut again, &vs, "default", &saved, LoadOptions::default())?;
    println!("loaded: largest difference {:.1e}", difference(&again.forward(&x, false)?, &trained)?);
    adapters.merge_and_unload(&mut again, &vs)?;
    println!("merged: largest difference {:.1e}", difference(&again.forward(&x, false)?, &trained)?);
    Ok(())
}

fn difference(one: &Tensor, two: &Tensor) -> Result<f64> {
    Ok(f64::try_from((one - two).abs().max())?)
}
