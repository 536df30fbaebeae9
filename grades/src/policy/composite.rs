//! Policies that consist of others: one place that forwards to the inner policies.

use std::fmt::Debug;

use dyn_clone::DynClone;

use super::{
    Cause, Cooldown, Decision, FreezePolicy, FrozenObservation, Observation, PolicyState, RunPlan, Score,
};
use crate::component::Component;
use crate::error::{Problems, Result};
use crate::statistic::StatisticSet;

/// A policy that asks other policies.
///
/// Implement this instead of [`FreezePolicy`]; every composite policy is one. Methods that are not written out forward to
/// the inner policies, so no method falls back to the default of a policy without inner ones.
///
/// ```
/// use grades::Result;
/// use grades::component::Component;
/// use grades::policy::{CompositePolicy, Decision, FreezePolicy, Observation, PolicyState};
///
/// /// Ignores what another policy says in even steps.
/// #[derive(Debug, Clone)]
/// struct OddSteps(Box<dyn FreezePolicy>);
///
/// impl CompositePolicy for OddSteps {
///     fn name(&self) -> &'static str {
///         "odd-steps"
///     }
///     fn inner(&self) -> Vec<&dyn FreezePolicy> {
///         vec![&*self.0]
///     }
///     fn inner_mut(&mut self) -> Vec<&mut Box<dyn FreezePolicy>> {
///         vec![&mut self.0]
///     }
///     fn decide(&mut self, observation: &Observation<'_>) -> Decision {
///         let decision = self.0.decide(observation);
///         if observation.step() % 2 == 1 { decision } else { Decision::Keep }
///     }
///     fn state(&self) -> Result<PolicyState> {
///         self.0.state()
///     }
///     fn restore(&mut self, state: &PolicyState) -> Result<()> {
///         self.0.restore(state)
///     }
/// }
/// ```
pub trait CompositePolicy: DynClone + Debug + Send {
    /// Returns the kebab-case name by which configurations and reports call it.
    fn name(&self) -> &'static str;

    /// Returns all inner policies. Their properties make up those of this one: it reads all their statistics, cools for
    /// the longest of their cooldowns, and thaws if any thaws.
    fn inner(&self) -> Vec<&dyn FreezePolicy>;

    /// Returns all inner policies, mutably.
    fn inner_mut(&mut self) -> Vec<&mut Box<dyn FreezePolicy>>;

    /// Decides whether the observed component freezes; see [`FreezePolicy::decide`].
    fn decide(&mut self, observation: &Observation<'_>) -> Decision;

    /// Returns the history, that of the inner policies included; see [`FreezePolicy::state`].
    ///
    /// # Errors
    ///
    /// [`crate::Error::State`] when the history cannot be written.
    fn state(&self) -> Result<PolicyState>;

    /// Restores what [`state`](Self::state) returned; see [`FreezePolicy::restore`].
    ///
    /// # Errors
    ///
    /// [`crate::Error::State`] when an entry is missing, unknown or of the wrong form.
    fn restore(&mut self, state: &PolicyState) -> Result<()>;

    /// Fits the inner policies to the length of the run; see [`FreezePolicy::plan`].
    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        for policy in self.inner_mut() {
            policy.plan(run, problems);
        }
    }

    /// Returns the inner policies that decide about this component: all, unless the policy chooses.
    fn asked(&mut self, component: &Component) -> Vec<&mut Box<dyn FreezePolicy>> {
        let _ = component;
        self.inner_mut()
    }

    /// Returns the score of the first asked policy that has one. All of them are asked.
    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
        let policies = self.asked(observation.component());
        let scores: Vec<_> = policies.into_iter().map(|policy| policy.score(observation)).collect();
        scores.into_iter().flatten().next()
    }

    /// Returns whether any inner policy may thaw.
    fn thaws(&self) -> bool {
        self.inner().iter().any(|policy| policy.thaws())
    }

    /// Returns the first answer to thaw. All asked policies that thaw are asked.
    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        let thawing = self.asked(observation.component).into_iter().filter(|policy| policy.thaws());
        let answers: Vec<_> = thawing.map(|policy| policy.decide_frozen(observation)).collect();
        answers.into_iter().find(|answer| matches!(answer, Decision::Thaw(_))).unwrap_or(Decision::Keep)
    }

    /// Returns the first comparison of the inner policies that have one.
    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        self.inner().iter().find_map(|policy| policy.compares(observation))
    }
}

impl<C: CompositePolicy> FreezePolicy for C {
    fn name(&self) -> &'static str {
        CompositePolicy::name(self)
    }

    fn statistics(&self) -> StatisticSet {
        self.inner().iter().fold(StatisticSet::default(), |set, policy| set.union(policy.statistics()))
    }

    fn plan(&mut self, run: &RunPlan, problems: &mut Problems) {
        CompositePolicy::plan(self, run, problems);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        CompositePolicy::decide(self, observation)
    }

    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
        CompositePolicy::score(self, observation)
    }

    fn thaws(&self) -> bool {
        CompositePolicy::thaws(self)
    }

    fn least_checks(&self) -> u64 {
        self.inner().iter().map(|policy| policy.least_checks()).min().unwrap_or(1)
    }

    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        CompositePolicy::decide_frozen(self, observation)
    }

    fn default_cooldown(&self) -> Cooldown {
        let cooldowns = self.inner().into_iter().map(|policy| policy.default_cooldown());
        cooldowns.fold(Cooldown::default(), Cooldown::longer)
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        CompositePolicy::compares(self, observation)
    }

    fn state(&self) -> Result<PolicyState> {
        CompositePolicy::state(self)
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        CompositePolicy::restore(self, state)
    }

    fn is_scale_free(&self) -> bool {
        self.inner().iter().all(|policy| policy.is_scale_free())
    }
}
