//! Which optimizers can do what policies ask, and what is said of those that cannot.

use grades::component::{ComponentMap, ParameterInfo};
use grades::config::Cooling;
use grades::optim::Hyperparameter::Momentum;
use grades::optim::{InnerOptimizer, SgdConfig};
use grades::parameters::Parameters;
use grades::policy::Cooldown;
use grades::statistic::Statistic;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use tch::nn::VarStore;

use crate::optimizers;
use crate::support::{Ordered, Rig};

fn refusal(make: impl Fn(&VarStore) -> Box<dyn InnerOptimizer>, config: &FreezingConfig) -> Option<String> {
    let rig = Rig::new();
    let config = config.clone().with_components(Rig::components());
    FreezingOptimizer::new(make(&rig.vs), &rig.vs, &config, 100).err().map(|error| error.to_string())
}

fn tchs(vs: &VarStore) -> Box<dyn InnerOptimizer> {
    Box::new(optimizers::tch_adamw(vs))
}

fn sgd(momentum: f64) -> impl Fn(&VarStore) -> Box<dyn InnerOptimizer> {
    move |vs| Box::new(SgdConfig::new().momentum(momentum).build(vs, 1e-2).unwrap())
}

#[test]
fn a_falling_learning_rate_under_tchs_optimizer_is_refused_and_all_ways_out_are_named() {
    let config = Rig::config(Ordered::reading([Statistic::GradL1])).with_cooldown(Cooldown::Steps(10));
    let averaging = config.clone().with_cooling(Cooling::Average);
    assert_eq!(refusal(tchs, &averaging), None, "means of weights need no learning rates");
    assert_eq!(
        refusal(tchs, &config).unwrap(),
        "a cooldown with the optimizer \"tch\": it has no learning rate for each component; set freezing.cooling = \"average\" \
         or cooldown = 0, or use grades::optim::AdamW, Adam or Sgd"
    );
    assert_eq!(refusal(tchs, &config.clone().with_cooldown(Cooldown::Steps(0))), None);
    assert_eq!(refusal(tchs, &config.clone().with_cooldown(Cooldown::Share { share: 0.0 })), None);
    assert_eq!(refusal(sgd(0.0), &config), None, "cooling needs no momentum");
}

#[test]
fn the_cooldown_that_a_policy_brings_along_is_refused_too_unless_it_is_switched_off() {
    let document = "cooling = 'decay'\n[freezing.policy]\nname = 'two-batch'\n";
    let config = FreezingConfig::from_toml(&format!("[freezing]\n{document}")).unwrap();
    let error = refusal(tchs, &config).unwrap();
    assert!(error.starts_with("a cooldown with the optimizer \"tch\": "), "{error}");
    let off = FreezingConfig::from_toml(&format!("[freezing]\ncooldown = 0\n{document}")).unwrap();
    assert_eq!(refusal(tchs, &off), None);
}

#[test]
fn the_signal_fraction_needs_a_momentum_that_can_be_read() {
    let config = FreezingConfig::from_toml("[freezing]").unwrap();
    let error = refusal(tchs, &config).unwrap();
    assert_eq!(
        error,
        "the statistic signal-fraction with the optimizer \"tch\": it has no momentum that can be read; use \
         grades::optim::AdamW, Adam or Sgd with a momentum above 0, or a policy that reads gradients only, such as \
         fixed-threshold, relative-to-peak or quota"
    );
    let error = refusal(sgd(0.0), &config).unwrap();
    assert!(
        error.starts_with("the statistic signal-fraction with the optimizer \"sgd\": it has no momentum"),
        "{error}"
    );
    assert_eq!(refusal(sgd(0.9), &config), None);
    assert_eq!(refusal(|vs| Box::new(optimizers::fused_adamw(vs)), &config), None);
    let error = refusal(tchs, &Rig::config(Ordered::reading([Statistic::UpdateMeanAbs]))).unwrap();
    assert!(error.starts_with("the statistic update-mean-abs with the optimizer \"tch\""), "{error}");
}

#[test]
fn one_group_without_momentum_is_enough_to_refuse() {
    let vs = VarStore::new(tch::Device::Cpu);
    let path = vs.root().set_group(1);
    let block = path.sub("block").sub("0");
    let _ = block.sub("single").var("weight", &[2], tch::nn::Init::Const(0.5));
    let _ = ["a", "b"].map(|name| block.sub("pair").var(name, &[2], tch::nn::Init::Const(0.5)));
    let mut inner = SgdConfig::new().momentum(0.9).build(&vs, 1e-2).unwrap();
    inner.set(Some(1), Momentum, 0.0).unwrap();
    let config = Rig::config(Ordered::reading([Statistic::SignalFraction]));
    let error = FreezingOptimizer::new(inner, &vs, &config, 10).unwrap_err().to_string();
    assert!(error.starts_with("the statistic signal-fraction with the optimizer \"sgd\""), "{error}");
}

#[test]
fn statistics_of_gradients_and_weights_work_under_tchs_optimizer() {
    let statistics = [Statistic::GradL1, Statistic::GradDeltaL1, Statistic::WeightDeltaL1];
    let rig = Rig::new();
    let mut optimizer = rig.wrap(optimizers::tch_adamw(&rig.vs), &Rig::config(Ordered::reading(statistics)));
    optimizer.backward_step(&rig.loss(&rig.gradients(1))).unwrap();
    let report = optimizer.backward_step(&rig.loss(&rig.gradients(2))).unwrap();
    for statistic in statistics {
        assert!(crate::support::value(&report, 0, statistic).unwrap() > 0.0, "{statistic}");
    }
}

#[test]
fn thawing_under_tchs_optimizer_is_refused() {
    let config = Rig::config(Ordered::reading([Statistic::GradL1]).thawing("single", 5));
    assert_eq!(
        refusal(tchs, &config).unwrap(),
        "a policy that thaws with the optimizer \"tch\": it cannot start a parameter afresh; use grades::optim::AdamW, \
         Adam or Sgd"
    );
    assert_eq!(refusal(sgd(0.0), &config), None);
}

#[test]
fn components_of_another_list_of_parameters_are_refused() {
    let rig = Rig::new();
    let parameters = Parameters::from_var_store(&rig.vs).unwrap();
    let infos =
        parameters.iter().map(|(_, parameter)| ParameterInfo::new(parameter.name(), parameter.shape()));
    // One more in front: every position is one too high, the last is none.
    let mut longer = vec![ParameterInfo::new("layers.9.weight", [2, 2])];
    longer.extend(infos);
    let config = Rig::config(Ordered::reading([Statistic::GradL1]));
    let map = ComponentMap::new(&longer, config.components()).unwrap();
    let optimizer = SgdConfig::new().build(&rig.vs, 1e-2).unwrap();
    let error = FreezingOptimizer::with_components(optimizer, parameters, map, &config, 10).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("component \"") && text.contains("are not among the 4 of the wrapper"),
        "{text}"
    );
}
