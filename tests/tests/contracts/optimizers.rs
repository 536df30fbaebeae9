//! The inner optimizers that every contract is tested over, all with weight decay, and momentum where there is one.

use grades::optim::{Adam, AdamConfig, Implementation, InnerOptimizer, Sgd, SgdConfig};
use tch::nn::{self, OptimizerConfig, VarStore};

const LR: f64 = 1e-2;
const DECAY: f64 = 0.1;

/// Makes one test of a function per inner optimizer. The function takes what builds the optimizer.
macro_rules! for_every_optimizer {
    ($($law:ident;)+) => {$(
        mod $law {
            use crate::optimizers as of;
            use super::$law as law;

            #[test] fn tch_adamw() { law(of::tch_adamw); }
            #[test] fn tch_adam() { law(of::tch_adam); }
            #[test] fn tch_sgd() { law(of::tch_sgd); }
            #[test] fn fused_adamw() { law(of::fused_adamw); }
            #[test] fn fused_adam_amsgrad() { law(of::fused_adam_amsgrad); }
            #[test] fn fused_sgd() { law(of::fused_sgd); }
            #[test] fn reference_adamw() { law(of::reference_adamw); }
            #[test] fn reference_adam_amsgrad() { law(of::reference_adam_amsgrad); }
            #[test] fn reference_sgd() { law(of::reference_sgd); }
            #[test] fn boxed() { law(of::boxed); }
        }
    )+};
}

pub(crate) fn tch_adamw(vs: &VarStore) -> nn::Optimizer {
    nn::AdamW { wd: DECAY, ..Default::default() }.build(vs, LR).unwrap()
}

pub(crate) fn tch_adam(vs: &VarStore) -> nn::Optimizer {
    nn::Adam { wd: DECAY, ..Default::default() }.build(vs, LR).unwrap()
}

pub(crate) fn tch_sgd(vs: &VarStore) -> nn::Optimizer {
    nn::Sgd { momentum: 0.9, dampening: 0.0, wd: DECAY, nesterov: false }.build(vs, LR).unwrap()
}

pub(crate) fn fused_adamw(vs: &VarStore) -> Adam {
    AdamConfig::adamw().wd(DECAY).build(vs, LR).unwrap()
}

pub(crate) fn fused_adam_amsgrad(vs: &VarStore) -> Adam {
    AdamConfig::adam().wd(DECAY).amsgrad(true).build(vs, LR).unwrap()
}

pub(crate) fn fused_sgd(vs: &VarStore) -> Sgd {
    SgdConfig::new().momentum(0.9).wd(DECAY).build(vs, LR).unwrap()
}

pub(crate) fn reference_adamw(vs: &VarStore) -> Adam {
    AdamConfig::adamw().wd(DECAY).implementation(Implementation::Reference).build(vs, LR).unwrap()
}

pub(crate) fn reference_adam_amsgrad(vs: &VarStore) -> Adam {
    let config = AdamConfig::adam().wd(DECAY).amsgrad(true);
    config.implementation(Implementation::Reference).build(vs, LR).unwrap()
}

pub(crate) fn reference_sgd(vs: &VarStore) -> Sgd {
    let config = SgdConfig::new().momentum(0.9).wd(DECAY);
    config.implementation(Implementation::Reference).build(vs, LR).unwrap()
}

pub(crate) fn boxed(vs: &VarStore) -> Box<dyn InnerOptimizer> {
    Box::new(fused_adamw(vs))
}
