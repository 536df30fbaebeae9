//! The tracker: asks each active component's policy and remembers what is frozen. Pure; no tensors.

mod event;
mod report;

pub use event::FreezeEvent;
pub use report::StepReport;

use crate::config::FreezingConfig;
use crate::config::Schedule;
use crate::policy::{Decision, FreezePolicy, Observation, Population};
use crate::{Component, ComponentMap, GradientSnapshot, Result, StatisticSet};

/// Asks each active component's policy at each check, and remembers what is frozen.
///
/// It sees numbers only, so it can be driven without libtorch:
///
/// ```
/// # use grades::{Decision, FreezePolicy, Observation, Statistic, StatisticSet};
/// # #[derive(Debug, Clone)]
/// # struct Below(f64);
/// # impl FreezePolicy for Below {
/// #     fn name(&self) -> &'static str { "below" }
/// #     fn statistics(&self) -> StatisticSet { StatisticSet::of([Statistic::GradL1]) }
/// #     fn decide(&mut self, observation: &Observation<'_>) -> Decision {
/// #         let value = observation.value(Statistic::GradL1).unwrap_or(f64::NAN);
/// #         Decision::freeze_below(self.name(), Statistic::GradL1, value, self.0)
/// #     }
/// # }
/// use grades::{ComponentConfig, ComponentMap, ComponentSample, FreezeTracker, FreezingConfig};
/// use grades::{GradientSnapshot, ParameterInfo};
///
/// let query = ParameterInfo::new("model.layers.0.self_attn.q_proj.weight", [2, 1]);
/// let map = ComponentMap::new(&[query], &ComponentConfig::default())?;
/// let mut tracker = FreezeTracker::new(map, &FreezingConfig::with_policy(Below(1.0)), 100)?;
/// for step in 1..=2 {
///     let sample = ComponentSample::from_gradient(&[0.1, 0.2]);
///     tracker.check(&GradientSnapshot::new(step, vec![Some(sample)]));
/// }
/// assert!(tracker.should_stop()); // a first sample never counts, the second did
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FreezeTracker {
    map: ComponentMap,
    schedule: Schedule,
    tracks: Vec<Track>,
    statistics: StatisticSet,
    frozen: usize,
}

/// One component's history.
#[derive(Debug, Clone)]
struct Track {
    policy: Box<dyn FreezePolicy>,
    /// Finite samples so far.
    samples: u64,
    frozen_at: Option<u64>,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    /// The components that freeze now, in the order of the components.
    pub events: Vec<FreezeEvent>,
    /// The components whose statistics were not finite, as positions; they were skipped.
    pub non_finite: Vec<usize>,
}

impl FreezeTracker {
    /// A tracker of these components over a run of so many optimizer steps.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Config`] when the configuration does not fit the run.
    pub fn new(map: ComponentMap, config: &FreezingConfig, total_steps: u64) -> Result<Self> {
        let schedule = config.schedule(total_steps)?;
        let prototype = config.prototype(total_steps)?;
        let statistics = prototype.statistics();
        let track = Track { policy: prototype, samples: 0, frozen_at: None };
        let tracks = vec![track; map.components().len()];
        Ok(Self { map, schedule, tracks, statistics, frozen: 0 })
    }

    /// Whether the statistics of this optimizer step (counted from 1) are to be checked.
    pub fn is_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.schedule.check_every) && !self.all_frozen()
    }

    /// Asks the policies of all active components; a frozen one stays as it is.
    ///
    /// Samples that are not finite are skipped: the policy is not asked, and the component is reported. During
    /// the grace period the policies are asked, but nothing freezes; neither does a component at its first
    /// sample.
    pub fn check(&mut self, snapshot: &GradientSnapshot) -> Check {
        let mut check = Check::default();
        let step = snapshot.step();
        let grace_over = step > self.schedule.grace_steps;
        let population = Population::new(snapshot.samples(), self.frozen);
        let active = self.map.components().iter().zip(&mut self.tracks).zip(snapshot.samples()).enumerate();
        for (index, ((component, track), sample)) in active {
            let Some(sample) = sample else { continue };
            if track.frozen_at.is_some() {
                continue;
            }
            if !sample.is_finite() {
                check.non_finite.push(index);
                continue;
            }
            track.samples += 1;
            let observation = Observation::new(component, sample)
                .at(step, self.schedule.total_steps)
                .after_grace(grace_over)
                .among(population);
            match track.policy.decide(&observation) {
                Decision::Freeze(cause) if grace_over && track.samples > 1 => {
                    track.frozen_at = Some(step);
                    self.frozen += 1;
                    check.events.push(FreezeEvent::new(step, index, component, cause));
                }
                Decision::Freeze(_) | Decision::Keep => {}
            }
        }
        check
    }

    /// The components, in the order of snapshots.
    pub fn components(&self) -> &[Component] {
        self.map.components()
    }

    /// How the components were found, with what was left out.
    pub fn map(&self) -> &ComponentMap {
        &self.map
    }

    /// The statistics that the policies read.
    pub fn statistics(&self) -> StatisticSet {
        self.statistics
    }

    /// Whether the component at this position is frozen.
    pub fn is_frozen(&self, component: usize) -> bool {
        self.frozen_at(component).is_some()
    }

    /// The optimizer step at which the component at this position froze.
    pub fn frozen_at(&self, component: usize) -> Option<u64> {
        self.tracks.get(component).and_then(|track| track.frozen_at)
    }

    /// How many components are frozen.
    pub fn frozen(&self) -> usize {
        self.frozen
    }

    /// How many components there are.
    pub fn total(&self) -> usize {
        self.tracks.len()
    }

    /// Whether all components are frozen.
    pub fn all_frozen(&self) -> bool {
        self.frozen == self.tracks.len()
    }

    /// Whether the share of frozen components has reached `stop_at`.
    pub fn should_stop(&self) -> bool {
        // 0.55 × 100 is a little above 55 in binary; a share of 0.55 means 55.
        let needed = (self.schedule.stop_at * self.tracks.len() as f64 - 1e-9).ceil().max(1.0);
        self.frozen as f64 >= needed
    }

    /// The optimizer steps that the run is planned for.
    pub fn total_steps(&self) -> u64 {
        self.schedule.total_steps
    }

    /// The last optimizer step of the grace period; 0 when there is none.
    pub fn grace_steps(&self) -> u64 {
        self.schedule.grace_steps
    }
}
