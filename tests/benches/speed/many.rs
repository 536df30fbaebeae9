//! Measures the cost of a component as their number grows: the wrapper, and the tracker alone.

use grades::FreezingConfig;
use grades::component::{ComponentConfig, ComponentKind, ComponentMap, ParameterInfo};
use grades::optim::AdamConfig;
use grades::statistic::{ComponentSample, GradientSnapshot, Statistic, StatisticSet};
use grades::tracker::FreezeTracker;
use tch::Kind;

use crate::report::Report;
use crate::timing::{contest, milliseconds};
use crate::updates::{Watch, matrices, wrapped};

const COUNTS: [usize; 4] = [10, 100, 1000, 10_000];

pub(crate) fn run(report: &mut Report) {
    let mut wrappers = COUNTS.map(|count| {
        let vs = matrices(count, 8, Kind::Float);
        let inner = Box::new(AdamConfig::adamw().build(&vs, 1e-5).unwrap());
        let mut optimizer = wrapped(&vs, inner, &[Statistic::SignalFraction]);
        move || milliseconds(|| drop(optimizer.step().unwrap())) * 1e3 / count as f64
    });
    let mut trackers = COUNTS.map(tracker);
    for (what, turns) in [
        ("wrapper's step", wrappers.each_mut().map(|turn| turn as &mut dyn FnMut() -> f64)),
        ("tracker's check", trackers.each_mut().map(|turn| turn as &mut dyn FnMut() -> f64)),
    ] {
        let mut contenders: Vec<_> = turns
            .into_iter()
            .map(|turn| (String::new(), Box::new(turn) as Box<dyn FnMut() -> f64>))
            .collect();
        let times = contest(21, &mut contenders);
        for (index, count) in COUNTS.into_iter().enumerate().skip(1) {
            let name = format!("{what} a component, {count} of 8²");
            let before = format!("with {}", COUNTS[index - 1]);
            // Flat: a number ten times larger makes none dearer.
            report.ratio(
                &name,
                times.of(index),
                (&before, times.of(index - 1)),
                "µs",
                times.ratio(index, index - 1),
                Some((1.25, false)),
            );
        }
    }
}

/// Measures a check of a tracker of `components` components, in microseconds a component.
fn tracker(count: usize) -> impl FnMut() -> f64 {
    let parameters: Vec<ParameterInfo> =
        (0..count).map(|layer| ParameterInfo::new(format!("layers.{layer}.weight"), [8, 8])).collect();
    let components =
        ComponentConfig::default().with_pattern(r"layers\.(?<layer>\d+)\.weight", ComponentKind::Up).unwrap();
    let map = ComponentMap::new(&parameters, &components).unwrap();
    let config = FreezingConfig::new(Watch(StatisticSet::of([Statistic::GradL1])));
    let mut tracker = FreezeTracker::new(map, &config, u64::MAX).unwrap();
    let sample = ComponentSample::from_gradient(&[0.5; 64]);
    let mut step = 0;
    move || {
        step += 1;
        let snapshot = GradientSnapshot::new(step, vec![Some(sample); count]);
        milliseconds(|| drop(tracker.check(&snapshot))) * 1e3 / count as f64
    }
}
