//! Making a wrapper.

use tch::nn::VarStore;

use super::FreezingOptimizer;
use crate::optim::InnerOptimizer;
use crate::parameters::Parameters;
use crate::{ComponentMap, FreezeTracker, FreezingConfig, ParameterInfo, Result, StepObserver};

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Wraps an optimizer that was built on the same `VarStore`, for a run of so many optimizer steps.
    ///
    /// Variables that are added to the store afterwards belong to no component.
    ///
    /// # Errors
    ///
    /// [`Error::NoComponents`](crate::Error::NoComponents) when nothing could ever freeze,
    /// [`Error::Config`](crate::Error::Config) when the configuration does not fit the run, and
    /// [`Error::Unknown`](crate::Error::Unknown) when the optimizer does not hold the store's variables.
    pub fn new(inner: O, vs: &VarStore, config: &FreezingConfig, total_steps: u64) -> Result<Self> {
        let parameters = Parameters::from_var_store(vs)?;
        let map = ComponentMap::new(&infos(&parameters), config.component_config())?;
        Self::with_components(inner, parameters, map, config, total_steps)
    }

    /// Wraps an optimizer with components made by the caller, whose positions are those of `parameters`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_components(
        mut inner: O,
        parameters: Parameters,
        map: ComponentMap,
        config: &FreezingConfig,
        total_steps: u64,
    ) -> Result<Self> {
        inner.bind(&parameters)?;
        let tracker = FreezeTracker::new(map, config, total_steps)?;
        tracing::info!(
            target: "grades",
            layout = tracker.map().layout(),
            components = tracker.total(),
            left_out = tracker.map().left_out().len(),
            grace_steps = tracker.grace_steps(),
            "watching components"
        );
        Ok(Self {
            inner,
            active: parameters.ids().collect(),
            held: Vec::new(),
            parameters,
            tracker,
            measured: None,
            steps: 0,
            observers: Vec::new(),
            observer_errors: Vec::new(),
        })
    }

    /// Adds an observer of all further steps.
    #[must_use]
    pub fn with_observer(mut self, observer: impl StepObserver + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }
}

/// The names and shapes of parameters, in their order.
fn infos(parameters: &Parameters) -> Vec<ParameterInfo> {
    parameters.iter().map(|(_, parameter)| ParameterInfo::new(parameter.name(), parameter.shape())).collect()
}
