//! Freeze policies: the trait, what they see, what they answer, and how a configuration names them.

mod decision;
mod observation;
mod plugin;
mod registry;
mod state;

pub use decision::{Cause, Decision, Measure};
pub use observation::{FrozenObservation, Observation, Population};
pub use plugin::{PolicyConfig, PolicyPlugin};
pub use registry::{PolicyBuilder, PolicyRegistry};
pub use state::PolicyState;

use std::fmt::Debug;

use dyn_clone::DynClone;

use crate::config::Cooldown;
use crate::error::Result;
use crate::statistic::StatisticSet;

/// Decides, check by check, whether one component has converged.
///
/// # Clone
///
/// A policy that a configuration builds is a prototype. It is cloned once per component before the first
/// step, so the fields of a clone are the history of that component alone. What is to be shared by all
/// components belongs in an `Arc`.
///
/// # Contract
///
/// A decision depends on the observations so far and on nothing else: no clock, no random numbers. Values
/// that are not finite never reach a policy through the tracker; one that is asked with them all the same
/// keeps. It is also asked during the grace period, so that it can learn what is usual; a
/// [`Decision::Freeze`] is not acted on then. The laws in the workspace's tests hold for every linked policy.
///
/// A complete policy of one's own is in `examples/examples/custom_policy.rs`.
pub trait FreezePolicy: DynClone + Debug + Send {
    /// The kebab-case name by which configurations and reports call it.
    fn name(&self) -> &'static str;

    /// The statistics that it reads. Only what some policy of a run reads is measured.
    fn statistics(&self) -> StatisticSet;

    /// Says what is to become of the component that was observed.
    fn decide(&mut self, observation: &Observation<'_>) -> Decision;

    /// The value by which this component is ranked among the active ones, for policies that compare components.
    ///
    /// It is asked of every active component before any of them is decided; [`Observation::rank`] then tells
    /// `decide` how many have a lower one. A score that is not finite has no rank.
    fn score(&mut self, observation: &Observation<'_>) -> Option<f64> {
        let _ = observation;
        None
    }

    /// Whether it may answer [`Decision::Thaw`], so that frozen components are asked about too.
    fn thaws(&self) -> bool {
        false
    }

    /// Says whether a frozen component is to train again; asked at each check while it is frozen, and only when
    /// [`thaws`](Self::thaws).
    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        let _ = observation;
        Decision::Keep
    }

    /// The cooldown that goes with what this policy means by converged, unless `freezing.cooldown` says otherwise.
    ///
    /// A policy that freezes when only noise is left lets components cool; 0, the default, is the paper's way.
    fn default_cooldown(&self) -> Cooldown {
        Cooldown::default()
    }

    /// What it compares with what at this observation, frozen or not: for logs and pictures.
    ///
    /// It is asked after [`decide`](Self::decide) with the same observation, and only where somebody observes the run.
    /// `None` when there is nothing to compare yet, such as before an average is ready. Where `decide` freezes, this is
    /// its [`Cause`]. The default is the first statistic that it reads, with a threshold that is not a number.
    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let statistic = self.statistics().iter().next()?;
        let value = observation.value(statistic)?;
        Some(Cause { policy: self.name(), measure: statistic.into(), value, threshold: f64::NAN })
    }

    /// All that `decide` has learnt so far, as plain data. Empty for a policy without history.
    fn state(&self) -> PolicyState {
        PolicyState::default()
    }

    /// Takes back what [`state`](Self::state) gave; decisions go on as if there had been no break.
    ///
    /// # Errors
    ///
    /// [`crate::Error::State`] when an entry is missing, unknown or of the wrong form.
    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        state.expect_empty(self.name())
    }

    /// Whether its decisions stay the same when every gradient is multiplied by one positive constant.
    fn is_scale_free(&self) -> bool {
        false
    }
}

dyn_clone::clone_trait_object!(FreezePolicy);

#[cfg(test)]
fn _is_object_safe(_: Box<dyn FreezePolicy>) {}
