//! The estimators of signal and noise against simulated gradients of known mean and noise.

use grades::policy::Measure;
use grades::statistic::{ComponentSample, MomentFilter, Statistic, TwoBatch};

/// A few operations in f64, done by the code and by a test's own formula.
const FORMULA: f64 = 1e-12;

/// SplitMix64 (Steele, Lea and Flood, 2014), and normal numbers from it by Box and Muller.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Two independent standard normal numbers.
    fn normals(&mut self) -> [f64; 2] {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        [radius * cos, radius * sin]
    }

    fn fill(&mut self, gradient: &mut [f64], mean: f64, noise: f64) {
        for pair in gradient.chunks_mut(2) {
            let normals = self.normals();
            pair.iter_mut().zip(normals).for_each(|(g, normal)| *g = mean + noise * normal);
        }
    }
}

fn squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

/// An optimizer's moment, as a recursion: the decay and the gain of each step.
#[derive(Debug, Clone, Copy)]
struct Moment {
    first: (f64, f64),
    then: (f64, f64),
}

/// The mean of the estimates from step `from` to `to`, with gradients of this mean and unit noise in each element.
fn simulated(moment: Moment, mean: f64, scale: f64, from: u64, to: u64) -> f64 {
    let mut random = Random(1);
    let mut gradient = vec![0.0; 2000];
    let mut buffer = vec![0.0; gradient.len()];
    let mut filter = MomentFilter::default();
    let mut estimates = Vec::new();
    for step in 1..=to {
        random.fill(&mut gradient, scale * mean, scale);
        let (decay, gain) = if step == 1 { moment.first } else { moment.then };
        buffer.iter_mut().zip(&gradient).for_each(|(m, g)| *m = decay * *m + gain * g);
        filter.step(decay, gain, squares(&gradient));
        estimates.extend(filter.signal_fraction(squares(&buffer)).filter(|_| step >= from));
    }
    estimates.iter().sum::<f64>() / estimates.len() as f64
}

fn adam(beta: f64) -> Moment {
    Moment { first: (beta, 1.0 - beta), then: (beta, 1.0 - beta) }
}

/// PyTorch's SGD: the first gradient enters its buffer undamped.
fn sgd(momentum: f64, dampening: f64) -> Moment {
    Moment { first: (0.0, 1.0), then: (momentum, 1.0 - dampening) }
}

/// A mean per unit noise, and the signal fraction mean² ÷ (mean² + 1).
const POINTS: [(f64, f64); 4] = [(0.0, 0.0), (0.1, 0.0099), (0.3, 0.0826), (1.0, 0.5)];

#[test]
fn the_signal_fraction_is_that_of_the_simulated_gradient_under_adam() {
    for (mean, expected) in POINTS {
        let found = simulated(adam(0.9), mean, 1.0, 2, 250);
        assert!((found - expected).abs() < 0.0015, "{found} for {expected}");
    }
}

#[test]
fn the_signal_fraction_needs_no_long_start() {
    // The mean over the first steps alone, where the moment's bias is largest; fewer steps, hence a wider margin.
    for (mean, expected) in POINTS {
        let found = simulated(adam(0.9), mean, 1.0, 2, 12);
        assert!((found - expected).abs() < 0.01, "{found} for {expected}");
    }
}

#[test]
fn the_signal_fraction_knows_other_betas_and_sgds_momentum_and_dampening() {
    for moment in [adam(0.5), adam(0.95), sgd(0.9, 0.0), sgd(0.9, 0.5), sgd(0.8, 0.9)] {
        for (mean, expected) in POINTS {
            let found = simulated(moment, mean, 1.0, 2, 200);
            assert!((found - expected).abs() < 0.003, "{moment:?}: {found} for {expected}");
        }
    }
}

#[test]
fn the_signal_fraction_is_free_of_the_gradients_scale() {
    for scale in [2f64.powi(-60), 2f64.powi(60)] {
        let found = simulated(adam(0.9), 0.3, scale, 2, 20);
        assert_eq!(found, simulated(adam(0.9), 0.3, 1.0, 2, 20), "{scale}");
    }
}

#[test]
fn the_noise_floor_of_sgd_is_what_its_weights_say() {
    // Independent noise of power 1 gives a moment of expected power W₂, which must read as no signal at all.
    for (momentum, dampening) in [(0.9, 0.0), (0.9, 0.5), (0.3, 0.9)] {
        let mut filter = MomentFilter::default();
        let mut power = 0.0;
        for step in 1..=40 {
            let (decay, gain): (f64, f64) = if step == 1 { (0.0, 1.0) } else { (momentum, 1.0 - dampening) };
            filter.step(decay, gain, 1.0);
            power = decay * decay * power + gain * gain;
            if let Some(fraction) = filter.signal_fraction(power) {
                assert!(fraction.abs() < FORMULA, "step {step}: {fraction}");
            } else {
                assert_eq!(step, 1);
            }
        }
    }
}

#[test]
fn a_moment_that_does_not_average_tells_nothing() {
    // Momentum 0: the moment is the gradient.
    let mut filter = MomentFilter::default();
    assert!(filter.is_new());
    for _ in 0..5 {
        filter.step(0.0, 1.0, 4.0);
        assert_eq!(filter.signal_fraction(4.0), None);
    }
    assert!(!filter.is_new());
}

#[test]
fn a_filter_survives_being_written_and_read() {
    let mut filter = MomentFilter::default();
    let mut random = Random(3);
    for _ in 0..20 {
        filter.step(0.9, 0.1, random.uniform());
    }
    let text = toml::to_string(&filter).unwrap();
    assert_eq!(toml::from_str::<MomentFilter>(&text).unwrap(), filter);
    assert!(toml::from_str::<MomentFilter>(&format!("{text}\nextra = 1")).is_err());
}

#[test]
fn the_two_batch_estimates_are_unbiased() {
    struct Case {
        /// The mean of each element.
        mean: f64,
        /// The deviation of an example.
        noise: f64,
        /// The examples of the small batch.
        small: u32,
        /// The examples of the large one.
        large: u32,
    }
    for Case { mean, noise, small, large } in [
        Case { mean: 0.5, noise: 1.0, small: 1, large: 4 },
        Case { mean: 0.0, noise: 1.0, small: 2, large: 8 },
        Case { mean: 0.2, noise: 3.0, small: 4, large: 16 },
    ] {
        const ELEMENTS: usize = 20;
        const TRIALS: usize = 4000;
        let mut random = Random(7);
        let mut found = Vec::new();
        let mut example = [0.0; ELEMENTS];
        for _ in 0..TRIALS {
            // The small batch is the first part of the large one.
            let mut sum = [0.0; ELEMENTS];
            let mut small_squares = 0.0;
            for index in 1..=large {
                random.fill(&mut example, mean, noise);
                sum.iter_mut().zip(&example).for_each(|(sum, g)| *sum += g);
                if index == small {
                    small_squares = squares(&sum) / f64::from(small * small);
                }
            }
            let large_squares = squares(&sum) / f64::from(large * large);
            let estimate =
                TwoBatch::estimate(small_squares, f64::from(small), large_squares, f64::from(large));
            found.push(estimate.unwrap());
        }
        let signal = ELEMENTS as f64 * mean * mean;
        let trace = ELEMENTS as f64 * noise * noise;
        assert_near(found.iter().map(|estimate| estimate.signal), signal);
        assert_near(found.iter().map(|estimate| estimate.noise), trace / f64::from(large));
    }
}

/// Checks that a mean is within four of its standard errors of the expected value, and within a tenth of the scale.
fn assert_near(values: impl Iterator<Item = f64> + Clone, expected: f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = (variance / n).sqrt();
    assert!((mean - expected).abs() < 4.0 * error, "{mean} ± {error}, expected {expected}");
    assert!(error < 0.02 * variance.sqrt(), "too few trials to tell");
}

#[test]
fn two_batches_of_one_size_tell_nothing() {
    for (small, large) in [(4.0, 4.0), (4.0, 2.0), (0.0, 4.0), (-1.0, 4.0), (f64::NAN, 4.0), (1.0, f64::NAN)]
    {
        assert_eq!(TwoBatch::estimate(1.0, small, 1.0, large), None, "{small} and {large}");
    }
}

#[test]
fn measures_go_by_their_names() {
    let others =
        [Measure::Rank, Measure::ChecksFrozen, Measure::LearningRate, Measure::StepsLeft].map(Measure::name);
    assert_eq!(others, ["rank", "checks-frozen", "learning-rate", "steps-left"]);
    for statistic in Statistic::ALL {
        assert_eq!(Measure::from(statistic).to_string(), statistic.name());
        assert_eq!(serde_json::to_string(&Measure::from(statistic)).unwrap(), format!("\"{statistic}\""));
    }
}

#[test]
fn a_sample_holds_what_was_set_and_nothing_else() {
    let sample = ComponentSample::new(3).with(Statistic::SignalFraction, -0.25);
    for statistic in Statistic::ALL {
        let expected = (statistic == Statistic::SignalFraction).then_some(-0.25);
        assert_eq!(sample.get(statistic), expected, "{statistic}");
    }
    assert!(sample.is_finite());
    assert!(!sample.with(Statistic::TwoBatchNoise, f64::NAN).is_finite());
}

#[test]
fn only_the_signal_fraction_is_free_of_scale_by_itself() {
    let free: Vec<_> = Statistic::ALL.into_iter().filter(|statistic| statistic.is_scale_free()).collect();
    assert_eq!(free, [Statistic::SignalFraction]);
}
