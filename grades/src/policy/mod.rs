//! Freeze policies: the trait, observations and decisions, and the registry by which a configuration names a policy.

mod composite;
mod cooldown;
mod cost;
mod decision;
mod never;
mod observation;
mod peers;
mod plan;
mod registry;
mod score;
mod state;
mod threshold;

pub use composite::CompositePolicy;
pub use cooldown::Cooldown;
pub use cost::{ComponentCost, StepCosts};
pub use decision::{Cause, Decision, Measure};
pub use never::Never;
pub use observation::{FrozenObservation, Observation, Population};
pub use peers::{BlockPeers, Peers};
pub use plan::RunPlan;
pub use registry::{PolicyBuilder, PolicyConfig, PolicyPlugin, PolicyRegistry};
pub use score::Score;
pub use state::PolicyState;
pub use threshold::Threshold;

use std::fmt::Debug;

use dyn_clone::DynClone;

use crate::error::{Problems, Result};
use crate::statistic::StatisticSet;

/// Decides, check by check, whether one component has converged.
///
/// # Clone
///
/// A configured policy is a prototype. It is planned for the run, then cloned once per component before the first
/// step, so the fields of a clone are the history of that component alone. State shared by all components belongs in
/// an `Arc`.
///
/// # Contract
///
/// A decision depends on the observations so far and on nothing else: no clock, no random numbers. The tracker
/// never passes on values that are not finite; a policy that sees one anyway answers [`Decision::Keep`]. A policy is
/// also asked during the grace period, so that it can learn what is usual; a [`Decision::Freeze`] has no effect then.
/// A policy with a history implements [`state`](Self::state) and [`restore`](Self::restore), or a resumed run decides
/// differently. A policy that asks other policies implements [`CompositePolicy`] instead.
///
/// The crate in `tests/third-party` of the workspace is a template for a policy of your own.
pub trait FreezePolicy: DynClone + Debug + Send {
    /// Returns the kebab-case name by which configurations and reports call it.
    fn name(&self) -> &'static str;

    /// Returns the statistics that it reads. Others may not be measured.
    fn statistics(&self) -> StatisticSet;

    /// Fits the prototype to the length of the run, once, before it is cloned. Adds a problem when it does not fit.
    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        let _ = (run, problems);
    }

    /// Decides whether the observed component freezes.
    fn decide(&mut self, observation: &Observation<'_>) -> Decision;

    /// Returns the value by which this component is ranked among the active ones, for policies that compare components.
    ///
    /// All active components are scored before any is decided; [`Observation::rank`] then gives `decide` the number of
    /// components with a lower score, and [`Observation::peers`] the sums of the scores of its measure by block. A score that
    /// is not finite has no rank.
    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
        let _ = observation;
        None
    }

    /// Returns the number of checks at a steady learning rate before it can decide first, that of the decision included.
    fn least_checks(&self) -> u64 {
        1
    }

    /// Returns whether it may answer [`Decision::Thaw`], so that it is asked about frozen components too.
    fn thaws(&self) -> bool {
        false
    }

    /// Decides whether a frozen component trains again. Asked at each check while the component is frozen, and only if
    /// [`thaws`](Self::thaws).
    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        let _ = observation;
        Decision::Keep
    }

    /// Returns the cooldown to use unless `freezing.cooldown` is set.
    ///
    /// A policy that freezes when only noise is left lets components cool. The default is 0, as in the paper.
    fn default_cooldown(&self) -> Cooldown {
        Cooldown::default()
    }

    /// Returns the value and the threshold that it compares at this observation, for logs and pictures.
    ///
    /// It is asked after [`decide`](Self::decide) with the same observation, and only in runs that record comparisons.
    /// `None` when there is nothing to compare yet, such as before an average is ready. Where `decide` freezes, its
    /// [`Cause`] is recorded instead, so this must agree with it. The default is the first statistic that it reads, with a
    /// threshold that is not a number.
    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let statistic = self.statistics().iter().next()?;
        let value = observation.value(statistic)?;
        Some(Cause::new(self.name(), statistic, value, f64::NAN))
    }

    /// Returns the history of `decide` as plain data. Empty, the default, for a policy without history.
    ///
    /// # Errors
    ///
    /// [`crate::Error::State`] when the history cannot be written.
    fn state(&self) -> Result<PolicyState> {
        Ok(PolicyState::default())
    }

    /// Restores what [`state`](Self::state) returned. Later decisions are those of a run without a break.
    ///
    /// # Errors
    ///
    /// [`crate::Error::State`] when an entry is missing, unknown or of the wrong form.
    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        state.expect_empty(self.name())
    }

    /// Returns whether its decisions stay the same when every gradient is multiplied by one positive constant.
    fn is_scale_free(&self) -> bool {
        false
    }
}

dyn_clone::clone_trait_object!(FreezePolicy);

#[cfg(test)]
fn _is_object_safe(_: Box<dyn FreezePolicy>) {}
