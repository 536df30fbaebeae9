//! Builds a wrapper, and checks that its parts fit together.

use tch::nn::VarStore;

use super::FreezingOptimizer;
use crate::component::{ComponentMap, ParameterInfo};
use crate::config::FreezingConfig;
use crate::error::{Error, Result};
use crate::freezing::cooldown::Cooldown;
use crate::freezing::monitor::Monitor;
use crate::freezing::observers::Observers;
use crate::freezing::params::ParamSet;
use crate::freezing::reclaim::Reclaim;
use crate::observe::StepObserver;
use crate::optim::InnerOptimizer;
use crate::parameters::{ParamId, Parameters};
use crate::policy::StepCosts;
use crate::statistic::Statistic;
use crate::tracker::FreezeTracker;

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Wraps an optimizer that was built on the same `VarStore`, for a run of `total_steps` optimizer steps.
    ///
    /// Variables that are added to the store afterwards belong to no component.
    ///
    /// # Errors
    ///
    /// [`Error::NoComponents`](crate::Error::NoComponents) when nothing could ever freeze,
    /// [`Error::Config`](crate::Error::Config) when the configuration does not fit the run,
    /// [`Error::Unsupported`](crate::Error::Unsupported) when the optimizer lacks an ability that the policies
    /// need, and [`Error::Unknown`](crate::Error::Unknown) when it has not got the store's variables.
    pub fn new(inner: O, vs: &VarStore, config: &FreezingConfig, total_steps: u64) -> Result<Self> {
        let parameters = Parameters::from_var_store(vs)?;
        let map = ComponentMap::new(&infos(&parameters), config.components())?;
        Self::with_components(inner, parameters, map, config, total_steps)
    }

    /// Wraps an optimizer with components made by the caller, whose positions are positions in `parameters`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`Error::Unsupported`](crate::Error::Unsupported) for positions that do not fit.
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
        let count = parameters.len();
        let defers = is_on_device(&tracker, &parameters);
        Ok(Self {
            monitor: Monitor::new(&tracker, count, defers),
            cooldown: Cooldown::new(&tracker, count),
            params: ParamSet::new(parameters, config, tracker.map()),
            reclaim: Reclaim::new(config.empty_cache()),
            observers: Observers::default(),
            ranks: None,
            steps: 0,
            inner,
            tracker,
        })
    }

    /// Sets whether the statistics of a step are read at the next step, before its update; see [`step`](Self::step).
    ///
    /// By default they are where a component is on a device other than the CPU. The same components freeze at the same
    /// steps either way. To be set before the first step.
    #[must_use]
    pub fn with_deferred_statistics(mut self, deferred: bool) -> Self {
        self.monitor.set_deferred(deferred);
        self
    }

    /// Sets the costs of a step, for policies that weigh them; see [`FreezeTracker::with_costs`].
    ///
    /// # Errors
    ///
    /// As [`FreezeTracker::with_costs`].
    pub fn with_costs(mut self, costs: StepCosts) -> Result<Self> {
        self.tracker = self.tracker.with_costs(costs)?;
        Ok(self)
    }

    /// Adds an observer of all further steps; their reports have the comparisons of policies.
    #[must_use]
    pub fn with_observer(mut self, observer: impl StepObserver + 'static) -> Self {
        self.observers.add(observer);
        self.with_comparisons(true)
    }

    /// Sets whether reports have the comparisons of policies ([`Checked::compared`](crate::tracker::Checked::compared)).
    ///
    /// They have none by default, and have them from the first observer on.
    #[must_use]
    pub fn with_comparisons(mut self, recorded: bool) -> Self {
        self.tracker.record_comparisons(recorded);
        self
    }
}

/// Checks that the components were made from these parameters: every position exists, belongs to one component only,
/// and the sizes agree.
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
                    "its parameters {:?} with {} elements are not among the {} of the wrapper; make the \
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

/// Checks that the optimizer has the abilities that the policies need.
fn check_abilities(inner: &impl InnerOptimizer, tracker: &FreezeTracker) -> Result<()> {
    let refused = |what: &str, reason: &str| {
        let what = format!("{what} with the optimizer \"{}\"", inner.name());
        Err(Error::Unsupported { what, reason: reason.to_owned() })
    };
    let needed = [Statistic::SignalFraction, Statistic::UpdateMeanAbs, Statistic::Progress];
    if let Some(statistic) = needed.into_iter().find(|needed| tracker.statistics().contains(*needed))
        && !inner.capabilities().moments
    {
        return refused(
            &format!("the statistic {statistic}"),
            "it has no momentum that can be read; use grades::optim::AdamW, Adam or Sgd with a momentum above 0, or a \
             policy that reads gradients only, such as fixed-threshold, relative-to-peak or quota",
        );
    }
    let adjustable = "use grades::optim::AdamW, Adam or Sgd";
    if tracker.cools() && !tracker.averages() && !inner.capabilities().adjustable {
        let reason = format!(
            "it has no learning rate for each component; set freezing.cooling = \"average\" or cooldown = 0, or {adjustable}"
        );
        return refused("a cooldown", &reason);
    }
    if tracker.thaws() && !inner.capabilities().adjustable {
        let reason = format!("it cannot start a parameter afresh; {adjustable}");
        return refused("a policy that thaws", &reason);
    }
    Ok(())
}

/// Returns whether a component is on a device other than the CPU.
fn is_on_device(tracker: &FreezeTracker, parameters: &Parameters) -> bool {
    let positions = tracker.components().iter().flat_map(|component| &component.parameters);
    let mut found = positions.filter_map(|position| parameters.get(ParamId::new(*position)));
    found.any(|parameter| parameter.device() != tch::Device::Cpu)
}

/// Returns the names and shapes of parameters, in their order.
fn infos(parameters: &Parameters) -> Vec<ParameterInfo> {
    parameters.iter().map(|(_, parameter)| ParameterInfo::new(parameter.name(), parameter.shape())).collect()
}
