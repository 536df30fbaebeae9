//! Making a wrapper.

use tch::nn::VarStore;

use super::FreezingOptimizer;
use super::average::Averages;
use super::cool::Factors;
use super::followers::Followers;
use super::instruments::Instruments;
use crate::component::{ComponentMap, ParameterInfo};
use crate::config::FreezingConfig;
use crate::error::{Error, Result};
use crate::observe::StepObserver;
use crate::optim::InnerOptimizer;
use crate::parameters::{ParamId, Parameters};
use crate::statistic::Statistic;
use crate::tracker::FreezeTracker;

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Wraps an optimizer that was built on the same `VarStore`, for a run of so many optimizer steps.
    ///
    /// Variables that are added to the store afterwards belong to no component.
    ///
    /// # Errors
    ///
    /// [`Error::NoComponents`](crate::Error::NoComponents) when nothing could ever freeze,
    /// [`Error::Config`](crate::Error::Config) when the configuration does not fit the run,
    /// [`Error::Unsupported`](crate::Error::Unsupported) when the optimizer cannot give what the policies read or do
    /// what they ask, and [`Error::Unknown`](crate::Error::Unknown) when it does not hold the store's variables.
    pub fn new(inner: O, vs: &VarStore, config: &FreezingConfig, total_steps: u64) -> Result<Self> {
        let parameters = Parameters::from_var_store(vs)?;
        let map = ComponentMap::new(&infos(&parameters), config.component_config())?;
        Self::with_components(inner, parameters, map, config, total_steps)
    }

    /// Wraps an optimizer with components made by the caller, whose positions are those of `parameters`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`Error::Unsupported`](crate::Error::Unsupported) for positions that are not.
    pub fn with_components(
        mut inner: O,
        parameters: Parameters,
        map: ComponentMap,
        config: &FreezingConfig,
        total_steps: u64,
    ) -> Result<Self> {
        check_positions(&map, &parameters)?;
        inner.bind(&parameters)?;
        let tracker = FreezeTracker::new(map, config, total_steps)?;
        check_abilities(&inner, &tracker)?;
        tracing::info!(
            target: "grades",
            layout = tracker.map().layout(),
            components = tracker.total(),
            left_out = tracker.map().left_out().len(),
            grace_steps = tracker.grace_steps(),
            "watching components"
        );
        for out in tracker.map().left_out() {
            tracing::debug!(target: "grades", parameter = %out.name, kind = %out.kind, reason = %out.reason, "left out");
        }
        Ok(Self {
            instruments: Instruments::new(tracker.statistics(), tracker.total(), parameters.len()),
            factors: Factors::new(&tracker, &parameters),
            averages: Averages::default(),
            followers: Followers::new(config.followers_setting(), tracker.map(), &parameters),
            reads_late: is_on_device(&tracker, &parameters),
            pending: None,
            caught_up: None,
            released: 0,
            empty_cache: config.empty_cache_share(),
            inner,
            active: parameters.ids().collect(),
            held: Vec::new(),
            parameters,
            tracker,
            clipped: None,
            steps: 0,
            observers: Vec::new(),
            observer_errors: Vec::new(),
        })
    }

    /// Reads what a step measures at the next step, or at once.
    ///
    /// Unless told otherwise it is read at the next step where a component is on a device other than the CPU, and at
    /// once elsewhere. What freezes, and when, is the same either way; see [`step`](Self::step).
    #[must_use]
    pub fn with_deferred_statistics(mut self, late: bool) -> Self {
        self.reads_late = late;
        self
    }

    /// Adds an observer of all further steps.
    #[must_use]
    pub fn with_observer(mut self, observer: impl StepObserver + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self.tracker.record_comparisons(true);
        self
    }
}

/// Checks that the components were made from these parameters: every position is one, of one component only, and the
/// sizes agree.
fn check_positions(map: &ComponentMap, parameters: &Parameters) -> Result<()> {
    let mut taken = vec![false; parameters.len()];
    for component in map.components() {
        let mut elements = 0;
        let mut sound = true;
        for position in &component.parameters {
            sound &= taken.get_mut(*position).is_some_and(|taken| !std::mem::replace(taken, true));
            elements += parameters.get(ParamId::new(*position)).map_or(0, |found| found.elements() as u64);
        }
        if !sound || elements != component.elements {
            return Err(Error::Unsupported {
                what: format!("component \"{}\"", component.name),
                reason: format!(
                    "its parameters {:?} with {} elements are not among the {} that the wrapper is given; make the \
                     components from the same list",
                    component.parameters,
                    component.elements,
                    parameters.len()
                ),
            });
        }
    }
    Ok(())
}

/// Checks that the optimizer can give what the policies read and do what they ask.
fn check_abilities(inner: &impl InnerOptimizer, tracker: &FreezeTracker) -> Result<()> {
    let refused = |what: &str, reason: &str| {
        let what = format!("{what} with the optimizer \"{}\"", inner.name());
        Err(Error::Unsupported { what, reason: reason.to_owned() })
    };
    let needed = [Statistic::SignalFraction, Statistic::UpdateMeanAbs];
    if let Some(statistic) = needed.into_iter().find(|needed| tracker.statistics().contains(*needed))
        && !inner.has_moments()
    {
        return refused(
            &format!("the statistic {statistic}"),
            "it has no momentum that can be read; take grades::optim::AdamW, Adam or Sgd with a momentum above 0, or a \
             policy that reads gradients only, such as fixed-threshold, relative-to-peak or quota",
        );
    }
    let adjustable = "take grades::optim::AdamW, Adam or Sgd";
    if tracker.cools() && !tracker.averages() && !inner.is_adjustable() {
        let reason = format!(
            "it has no learning rate for each component; set freezing.cooling = \"average\" or cooldown = 0, or {adjustable}"
        );
        return refused("a cooldown", &reason);
    }
    if tracker.thaws() && !inner.is_adjustable() {
        let reason = format!("it cannot start a parameter afresh; {adjustable}");
        return refused("a policy that thaws", &reason);
    }
    Ok(())
}

/// Whether a component is on a device from which numbers take their time.
fn is_on_device(tracker: &FreezeTracker, parameters: &Parameters) -> bool {
    let positions = tracker.components().iter().flat_map(|component| &component.parameters);
    let mut found = positions.filter_map(|position| parameters.get(ParamId::new(*position)));
    found.any(|parameter| parameter.device() != tch::Device::Cpu)
}

/// The names and shapes of parameters, in their order.
fn infos(parameters: &Parameters) -> Vec<ParameterInfo> {
    parameters.iter().map(|(_, parameter)| ParameterInfo::new(parameter.name(), parameter.shape())).collect()
}
