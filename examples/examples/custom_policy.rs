//! A freeze policy of one's own, registered and named by a configuration.
//!
//! `cargo run -p grades-examples --example custom_policy`

use anyhow::Result;
use grades::policy::{Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin};
use grades::schema::{Key, Section};
use grades::statistic::{Statistic, StatisticSet};
use grades::{FreezingConfig, FreezingOptimizer, submit};
use tch::nn::{self, Module, OptimizerConfig};
use tch::{Device, Kind, Reduction, Tensor};

/// Freezes a component whose gradient's RMS is below a share of the largest one among all components.
///
/// It has no history. One that has would give and take it in `state` and `restore`, so that a run can resume.
#[derive(Debug, Clone)]
struct Quietest {
    share: f64,
}

impl FreezePolicy for Quietest {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradRms])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let largest = observation.population().values(Statistic::GradRms).fold(0.0, f64::max);
        match observation.value(Statistic::GradRms) {
            Some(rms) => Decision::freeze_below(Self::NAME, Statistic::GradRms, rms, self.share * largest),
            None => Decision::Keep,
        }
    }
}

impl PolicyConfig for Quietest {
    const NAME: &'static str = "quietest";
    const SUMMARY: &'static str = "freezes what has a much smaller gradient than the rest";
    const KEYS: &'static [Key] = &[Key::new("share", "of the largest gradient, between 0 and 1 (0.1)")];

    fn from_config(section: &mut Section<'_>, _: &PolicyBuilder<'_>) -> Option<Self> {
        let share =
            section.number_or("share", 0.1, "a share between 0 and 1", |share| share > 0.0 && share < 1.0);
        Some(Self { share: share? })
    }
}

submit! { PolicyPlugin::of::<Quietest>() }

fn main() -> Result<()> {
    let config = FreezingConfig::from_toml(
        r#"
        [freezing]
        grace = 0.2
        stop_at = 0.5 # the largest is never quiet
        policy = { name = "quietest", share = 0.3 }
        [[freezing.components.patterns]]
        match = 'layers\.(?<layer>\d+)\.weight'
        kind = "up"
        "#,
    )?;
    tch::manual_seed(1);
    let vs = nn::VarStore::new(Device::Cpu);
    let path = vs.root().sub("layers");
    let net = nn::seq()
        .add(nn::linear(&path / "0", 8, 32, Default::default()))
        .add_fn(Tensor::tanh)
        .add(nn::linear(&path / "1", 32, 1, Default::default()));
    let x = Tensor::randn([128, 8], (Kind::Float, Device::Cpu));
    let y = x.sum_dim_intlist(1, true, Kind::Float);
    let mut opt = FreezingOptimizer::new(nn::Adam::default().build(&vs, 1e-2)?, &vs, &config, 1000)?;
    for _ in 0..1000 {
        let report = opt.backward_step(&net.forward(&x).mse_loss(&y, Reduction::Mean))?;
        for event in &report.events {
            println!(
                "step {}: {} froze, {} {:.2e} < {:.2e}",
                event.step, event.component, event.statistic, event.value, event.threshold
            );
        }
        if report.should_stop {
            break;
        }
    }
    println!(
        "{} of {} components frozen after {} steps",
        opt.tracker().frozen(),
        opt.tracker().total(),
        opt.steps()
    );
    Ok(())
}
