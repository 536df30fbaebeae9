//! Sums up the scores of components for the policies that compare them.

use super::track::Track;
use crate::component::Component;
use crate::policy::{Measure, Peers, Score, StepCosts};
use crate::statistic::ComponentSample;

/// Returns the sums over all components for each measure that a score has. All lists are in the order of the components.
///
/// A component whose statistics are not finite counts at this check as one without a gradient.
pub(super) fn by_measure(
    scores: &[Option<Score>],
    tracks: &[Track],
    components: &[Component],
    samples: &[Option<ComponentSample>],
    costs: &StepCosts,
) -> Vec<(Measure, Peers)> {
    let mut measures: Vec<Measure> = Vec::new();
    for score in scores.iter().flatten() {
        if !measures.contains(&score.measure) {
            measures.push(score.measure);
        }
    }
    if measures.is_empty() {
        return Vec::new();
    }
    let is_finite = |sample: &Option<ComponentSample>| sample.is_some_and(|sample| sample.is_finite());
    let trains = tracks.iter().zip(samples).map(|(track, sample)| track.is_active() && is_finite(sample));
    let trains: Vec<bool> = trains.collect();
    let of = |measure| Peers::new(measure, components, scores, &trains, costs);
    measures.into_iter().map(|measure| (measure, of(measure))).collect()
}
