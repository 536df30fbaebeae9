//! From what a step measured to statistics, and to what the policies make of them.

use super::FreezingOptimizer;
use super::reading::{Reading, total};
use crate::error::Result;
use crate::optim::InnerOptimizer;
use crate::statistic::{ComponentSample, GradientSnapshot, Statistic, TwoBatch};
use crate::tracker::{Checked, FreezeEvent, StepReport};

/// The outcome of a check.
#[derive(Debug)]
pub(super) struct Outcome {
    checked: Option<Checked>,
    events: Vec<FreezeEvent>,
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Reads what the step before left on devices, asks the policies about it and acts on what they say.
    ///
    /// By now the devices have this step's backward pass to do, so none stands still.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        if let Some(reading) = self.pending.take() {
            self.caught_up = Some(self.digest(reading, true)?);
        }
        Ok(())
    }

    /// Turns a reading into statistics, asks the policies, and acts on their decisions.
    pub(super) fn digest(&mut self, mut reading: Reading, late: bool) -> Result<Outcome> {
        reading.read(late)?;
        self.follow(&reading);
        let mut checked = Checked::new(reading.step);
        checked.grad_norm = reading.norm();
        if !reading.due {
            let checked = Some(checked).filter(|checked| checked.grad_norm.is_some());
            return Ok(Outcome { checked, events: Vec::new() });
        }
        let snapshot = self.snapshot(&reading);
        let check = self.tracker.check(&snapshot);
        self.act_on(&check.events)?;
        let events = checked.record(check, snapshot, &self.tracker);
        Ok(Outcome { checked: Some(checked), events })
    }

    /// Adds an outcome to a report.
    pub(super) fn tell(&self, outcome: Outcome, report: &mut StepReport) {
        report.checked = outcome.checked;
        report.events.extend(outcome.events);
    }

    /// Follows the optimizer's moments through the update.
    fn follow(&mut self, reading: &Reading) {
        for (index, rates) in reading.components.iter().zip(&reading.rates) {
            let squares = reading.averaged(&self.tracker.components()[*index]);
            if let (Some(rates), Some(squares)) = (rates, squares) {
                let filter = &mut self.instruments.filters[*index];
                let gain = if filter.is_new() { rates.first_gain } else { rates.gain };
                filter.step(rates.decay, gain, squares);
            }
        }
    }

    /// The statistics of all components.
    fn snapshot(&self, reading: &Reading) -> GradientSnapshot {
        let wanted = self.tracker.statistics();
        let mut samples: Vec<Option<ComponentSample>> = vec![None; self.tracker.total()];
        for index in &reading.components {
            let component = &self.tracker.components()[*index];
            let mut sample = if wanted.is_empty() {
                match reading.has_gradient(component) {
                    true => ComponentSample::new(component.elements),
                    false => continue,
                }
            } else {
                match reading.gradient(component) {
                    Some(sums) => ComponentSample::from_sums(component.elements, sums.absolute, sums.squares),
                    None => continue,
                }
            };
            let listed =
                |list: &[Option<f64>]| total(component, |id| list.get(id.index()).copied().flatten());
            let mut set = |statistic: Statistic, value: &dyn Fn() -> Option<f64>| {
                if let Some(value) =
                    Some(statistic).filter(|wish| wanted.contains(*wish)).and_then(|_| value())
                {
                    sample = sample.with(statistic, value);
                }
            };
            set(Statistic::GradDeltaL1, &|| listed(&reading.deltas));
            set(Statistic::WeightDeltaL1, &|| listed(&reading.weight_deltas));
            set(Statistic::UpdateMeanAbs, &|| {
                let sum = total(component, |id| reading.sums.updates(id))?;
                Some(sum / component.elements.max(1) as f64)
            });
            set(Statistic::SignalFraction, &|| {
                let squares = total(component, |id| reading.sums.moments(id))?;
                self.instruments.filters[*index].signal_fraction(squares)
            });
            let batches = || {
                // None without a second micro-batch, such as at the last step of an epoch.
                let (share, first) = reading.micro.as_ref()?;
                let small = total(component, |id| first.gradient(id).map(|sums| sums.squares))?;
                let large = reading.gradient(component)?.squares;
                TwoBatch::estimate(small / (share * share), *share, large, 1.0)
            };
            if let Some(estimate) = batches() {
                sample = sample
                    .with(Statistic::TwoBatchSignal, estimate.signal)
                    .with(Statistic::TwoBatchNoise, estimate.noise);
            }
            samples[*index] = Some(sample);
        }
        GradientSnapshot::new(reading.step, samples).with_learning_rate(reading.learning_rate)
    }
}
