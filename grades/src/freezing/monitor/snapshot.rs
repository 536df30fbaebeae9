//! Turns the measurements of an update into the statistics of all components.

use super::measurement::{Measurement, total};
use super::moments::Moments;
use super::reads::Reads;
use crate::component::Component;
use crate::statistic::{ComponentSample, GradientSnapshot, Statistic, TwoBatch};

/// Returns the statistics of all components.
pub(super) fn snapshot(
    reads: Reads,
    moments: &Moments,
    measurement: &Measurement,
    components: &[Component],
) -> GradientSnapshot {
    let mut samples: Vec<Option<ComponentSample>> = vec![None; components.len()];
    for index in &measurement.components {
        samples[*index] = sample(reads, moments, measurement, *index, &components[*index]);
    }
    GradientSnapshot::new(measurement.step, samples).with_learning_rate(measurement.learning_rate)
}

/// Returns the statistics of one component; `None` when it has no gradient.
fn sample(
    reads: Reads,
    moments: &Moments,
    measurement: &Measurement,
    index: usize,
    component: &Component,
) -> Option<ComponentSample> {
    let mut sample = if reads.is_empty() {
        measurement.has_gradient(component).then(|| ComponentSample::new(component.elements))?
    } else {
        let sums = measurement.gradient(component)?;
        ComponentSample::from_sums(component.elements, sums.absolute, sums.squares)
    };
    let listed = |list: &[Option<f64>]| total(component, |id| list.get(id.index()).copied().flatten());
    let mut set = |statistic: Statistic, value: &dyn Fn() -> Option<f64>| {
        let value = Some(statistic).filter(|wanted| reads.has(*wanted)).and_then(|_| value());
        if let Some(value) = value {
            sample = sample.with(statistic, value);
        }
    };
    set(Statistic::GradDeltaL1, &|| listed(&measurement.deltas));
    set(Statistic::WeightDeltaL1, &|| listed(&measurement.weight_deltas));
    set(Statistic::UpdateMeanAbs, &|| {
        let sum = total(component, |id| measurement.sums.updates(id))?;
        Some(sum / component.elements.max(1) as f64)
    });
    set(Statistic::Progress, &|| measurement.progress(component));
    set(Statistic::SignalFraction, &|| {
        let squares = total(component, |id| measurement.sums.moments(id))?;
        moments.signal_fraction(index, squares)
    });
    if let Some(estimate) = two_batch(measurement, component) {
        sample = sample
            .with(Statistic::TwoBatchSignal, estimate.signal)
            .with(Statistic::TwoBatchNoise, estimate.noise);
    }
    Some(sample)
}

/// Returns the estimate from a small and a large batch; `None` without a second micro-batch, such as at the last step of
/// an epoch.
fn two_batch(measurement: &Measurement, component: &Component) -> Option<TwoBatch> {
    let (share, first) = measurement.micro.as_ref()?;
    let small = total(component, |id| first.gradient(id).map(|sums| sums.squares))?;
    let large = measurement.gradient(component)?.squares;
    TwoBatch::estimate(small / (share * share), *share, large, 1.0)
}
