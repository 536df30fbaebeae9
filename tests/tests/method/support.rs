//! Two components whose gradients a test chooses, and a policy that freezes and thaws at given steps.

use std::borrow::Cow;
use std::collections::BTreeMap;

use grades::component::{ComponentConfig, ComponentKind};
use grades::optim::InnerOptimizer;
use grades::policy::{Cause, Decision, FreezePolicy, FrozenObservation, Measure, Observation};
use grades::statistic::{Statistic, StatisticSet};
use grades::tracker::StepReport;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::ReportExt;
use grades_tests::tolerance::{STATISTIC_OF_STEPS, assert_number_within};
use tch::nn::{Init, VarStore};
use tch::{Device, Kind, Tensor, no_grad};

/// Makes one test of a function per optimizer of this project. The function takes what builds it.
macro_rules! for_every_own_optimizer {
    ($($law:ident;)+) => {$(
        mod $law {
            use crate::optimizers as of;
            use super::$law as law;

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

/// A policy that reads statistics, and freezes and thaws components at given steps.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    reads: StatisticSet,
    freeze: Vec<(&'static str, u64)>,
    thaw: Vec<(&'static str, u64)>,
}

impl Ordered {
    /// Reads these and freezes nothing.
    pub(crate) fn reading(statistics: impl IntoIterator<Item = Statistic>) -> Self {
        Self { reads: StatisticSet::of(statistics), freeze: Vec::new(), thaw: Vec::new() }
    }

    /// Freezes components with this text in their names, when asked at this step.
    pub(crate) fn freezing(mut self, text: &'static str, step: u64) -> Self {
        self.freeze.push((text, step));
        self
    }

    /// Thaws them, when asked at this step.
    pub(crate) fn thawing(mut self, text: &'static str, step: u64) -> Self {
        self.thaw.push((text, step));
        self
    }
}

fn ordered(rules: &[(&str, u64)], name: &str, step: u64) -> bool {
    rules.iter().any(|(text, at)| name.contains(text) && *at == step)
}

const CAUSE: Cause =
    Cause { policy: Cow::Borrowed("ordered"), measure: Measure::Rank, value: 1.0, threshold: 2.0 };

impl FreezePolicy for Ordered {
    fn name(&self) -> &'static str {
        "ordered"
    }

    fn statistics(&self) -> StatisticSet {
        self.reads
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        match ordered(&self.freeze, &observation.component().name, observation.step()) {
            true => Decision::Freeze(CAUSE),
            false => Decision::Keep,
        }
    }

    fn thaws(&self) -> bool {
        !self.thaw.is_empty()
    }

    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        match ordered(&self.thaw, &observation.component.name, observation.step) {
            true => Decision::Thaw(CAUSE),
            false => Decision::Keep,
        }
    }
}

/// The names of the parameters: a component of one, a component of two, and one of none.
pub(crate) const SINGLE: &str = "block.0.single.weight";
pub(crate) const PAIR: [&str; 2] = ["block.1.pair.a", "block.1.pair.b"];
pub(crate) const OUTSIDE: &str = "outside.bias";

/// The parameters of each component, in the order of the components.
pub(crate) const COMPONENTS: [&[&str]; 2] = [&[SINGLE], &PAIR];

/// Four parameters, the gradients of which a test chooses.
pub(crate) struct Rig {
    pub(crate) vs: VarStore,
    parameters: BTreeMap<&'static str, Tensor>,
}

/// The gradients of one step, by parameter.
pub(crate) type Gradients = BTreeMap<&'static str, Tensor>;

impl Rig {
    pub(crate) fn new() -> Self {
        Self::of_kind(Kind::Float)
    }

    pub(crate) fn of_kind(kind: Kind) -> Self {
        let vs = VarStore::new(Device::Cpu);
        let shapes: [(&'static str, &[i64]); 4] =
            [(SINGLE, &[7, 5]), (PAIR[0], &[3, 6]), (PAIR[1], &[8, 3]), (OUTSIDE, &[4])];
        let parameters = shapes.map(|(name, shape)| {
            let mut parts: Vec<&str> = name.split('.').collect();
            let leaf = parts.pop().unwrap();
            let path = parts.iter().fold(vs.root(), |path, part| path.sub(*part));
            let mut variable = path.var(leaf, shape, Init::Const(0.0));
            variable.set_data(&(numbers(name, shape) * 0.5).to_kind(kind));
            (name, variable)
        });
        Self { parameters: parameters.into(), vs }
    }

    pub(crate) fn parameter(&self, name: &str) -> &Tensor {
        &self.parameters[name]
    }

    /// Which parameters are components.
    pub(crate) fn components() -> ComponentConfig {
        let pair = r"(?<component>block\.(?<layer>\d+)\.pair)\.[ab]";
        ComponentConfig::default()
            .with_pattern(r"block\.(?<layer>\d+)\.single\.weight", ComponentKind::Up)
            .and_then(|config| config.with_pattern(pair, ComponentKind::Adapter))
            .unwrap()
    }

    pub(crate) fn config(policy: impl FreezePolicy + 'static) -> FreezingConfig {
        FreezingConfig::new(policy).with_components(Self::components())
    }

    pub(crate) fn wrap<O: InnerOptimizer>(&self, inner: O, config: &FreezingConfig) -> FreezingOptimizer<O> {
        let optimizer = FreezingOptimizer::new(inner, &self.vs, config, 100).unwrap();
        let names: Vec<&str> =
            optimizer.components().iter().map(|component| component.name.as_str()).collect();
        assert_eq!(names, ["block.0.single", "block.1.pair"]);
        optimizer
    }

    /// Signal and noise that depend on nothing but the step.
    pub(crate) fn gradients(&self, step: u64) -> Gradients {
        let gradient = |name: &'static str| {
            let shape = self.parameters[name].size();
            let signal = numbers(&format!("signal {name}"), &shape);
            (name, signal * 0.6 + numbers(&format!("noise {step} {name}"), &shape))
        };
        self.parameters.keys().map(|name| gradient(name)).collect()
    }

    /// A loss that has these gradients.
    pub(crate) fn loss(&self, gradients: &Gradients) -> Tensor {
        let kind = |tensor: &Tensor| tensor.kind();
        let terms = gradients.iter().map(|(name, gradient)| {
            let parameter = &self.parameters[name];
            (parameter * gradient.to_kind(kind(parameter))).sum(kind(parameter))
        });
        terms.reduce(|sum, term| sum + term).unwrap()
    }

    /// All parameters of a component in f64, one after the other.
    pub(crate) fn values(&self, component: &[&str]) -> Vec<f64> {
        component.iter().flat_map(|name| doubles(&self.parameters[name])).collect()
    }
}

/// The gradients of a component in f64, one after the other.
pub(crate) fn flat(gradients: &Gradients, component: &[&str]) -> Vec<f64> {
    component.iter().flat_map(|name| doubles(&gradients[name])).collect()
}

pub(crate) fn doubles(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().to_kind(Kind::Double).contiguous().view([-1]);
    Vec::try_from(flat).unwrap()
}

/// Takes over the values of another rig.
pub(crate) fn copy(from: &VarStore, to: &VarStore) {
    let source = from.variables();
    no_grad(|| to.variables().iter_mut().for_each(|(name, tensor)| tensor.copy_(&source[name])));
}

/// The value of a statistic of the component at a position, where it was measured.
pub(crate) fn value(report: &StepReport, component: usize, statistic: Statistic) -> Option<f64> {
    report.snapshot().as_ref()?.samples()[component]?.get(statistic)
}

/// Fails unless a measured value is there and right to some roundings of f32; the values are larger than 1e-4.
pub(crate) fn assert_near(found: Option<f64>, expected: f64, what: &str) {
    let found = found.unwrap_or_else(|| panic!("{what} was not measured; expected {expected}"));
    assert_number_within(found, expected, STATISTIC_OF_STEPS, what);
}

/// Numbers from -0.5 to 0.5 made from a text.
pub(crate) fn numbers(text: &str, shape: &[i64]) -> Tensor {
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let numbers: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
        .collect();
    Tensor::from_slice(&numbers).view(shape)
}
