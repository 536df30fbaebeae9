//! From values to places, and where ticks go.

/// Maps a range of values onto a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    /// Creates a linear scale of the finite values, zero included when `zero`; its ends are round numbers.
    pub(crate) fn linear(values: impl Iterator<Item = f64>, zero: bool) -> Self {
        let (mut low, mut high) = range(values).unwrap_or((0.0, 1.0));
        if zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if low == high {
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.5 };
            (low, high) = if zero && low >= 0.0 { (0.0, high + room) } else { (low - room, high + room) };
        }
        let step = nice_step(high - low, 5);
        Self {
            low: (low / step + 1e-9).floor() * step,
            high: (high / step - 1e-9).ceil() * step,
            log: false,
            from: 0.0,
            to: 1.0,
        }
    }

    /// Creates a linear scale between these very ends.
    pub(crate) fn exact(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, log: false, from: 0.0, to: 1.0 }
    }

    /// Creates a logarithmic scale of the finite values above 0; its ends are 1, 2 or 5 times a power of ten.
    pub(crate) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values.filter(|value| *value > 0.0)).unwrap_or((0.1, 1.0));
        let (low, mut high) = (round_down(low), round_up(high));
        if high <= low {
            high = low * 10.0;
        }
        Self { low, high, log: true, from: 0.0, to: 1.0 }
    }

    /// Creates a logarithmic scale where the values span more than a factor of 30 and none is below 0, else a linear one.
    pub(crate) fn sensible(values: impl Iterator<Item = f64> + Clone) -> Self {
        let below = values.clone().any(|value| value <= 0.0);
        match range(values.clone()) {
            Some((low, high)) if !below && high / low > 30.0 => Self::log(values),
            Some((low, high)) => Self::linear(values, low >= 0.0 && low < high * 0.6),
            None => Self::linear(values, true),
        }
    }

    /// Cuts the scale to a range of possible values.
    pub(crate) fn within(self, low: f64, high: f64) -> Self {
        let (inner, outer) = (self.low.max(low), self.high.min(high));
        if inner < outer { Self { low: inner, high: outer, ..self } } else { Self { low, high, ..self } }
    }

    /// Maps the scale onto the line from one place to another.
    pub(crate) fn onto(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// Returns where a value is; ends of the line for what lies beyond.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Returns whether it is logarithmic.
    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// Returns the ends.
    pub(crate) fn domain(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Returns about `about` round values.
    pub(crate) fn ticks(&self, about: usize) -> Vec<f64> {
        if self.log {
            return self.log_ticks(about);
        }
        let step = nice_step(self.high - self.low, about);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn log_ticks(&self, about: usize) -> Vec<f64> {
        let inside = |value: &f64| *value >= self.low * (1.0 - 1e-9) && *value <= self.high * (1.0 + 1e-9);
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let steps: &[f64] = if (last - first) as usize * 3 <= about + 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = ((last - first) as usize / about.max(1)).max(1);
        let ticks: Vec<f64> = (first..=last)
            .filter(|power| ((power - first) as usize).is_multiple_of(every))
            .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
            .filter(inside)
            .collect();
        if ticks.len() >= 2 { ticks } else { vec![self.low, self.high] }
    }
}

/// Returns the smallest and the largest finite value.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// Returns 1, 2 or 5 times a power of ten, so that about `about` steps fit.
fn nice_step(span: f64, about: usize) -> f64 {
    let rough = span / about.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= rough * 0.999);
    let step = step.unwrap_or(10.0) * power;
    if step.is_finite() && step > 0.0 { step } else { 1.0 }
}

fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .into_iter()
        .map(|step| step * power)
        .find(|round| *round <= value * (1.0 + 1e-9))
        .unwrap_or(power)
}

fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|round| *round >= value * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_and_ticks_are_round() {
        let scale = Scale::linear([3.0, 97.0].into_iter(), true);
        assert_eq!(scale.domain(), (0.0, 100.0));
        assert_eq!(scale.ticks(5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let scale = Scale::log([0.0021, 0.9].into_iter());
        assert_eq!(scale.domain(), (0.002, 1.0));
        assert_eq!(scale.ticks(4), [0.01, 0.1, 1.0]);
        assert!((scale.onto(0.0, 10.0).place(1.0) - 10.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_one_value_and_no_finite_value_have_a_scale() {
        for values in
            [vec![], vec![5.0], vec![0.0], vec![f64::NAN], vec![f64::INFINITY, -3.0], vec![1e300, -1e300]]
        {
            for scale in [
                Scale::linear(values.iter().copied(), true),
                Scale::linear(values.iter().copied(), false),
                Scale::log(values.iter().copied()),
                Scale::sensible(values.iter().copied()),
            ] {
                let (low, high) = scale.domain();
                assert!(low < high, "{values:?}: {scale:?}");
                assert!(!scale.ticks(5).is_empty(), "{values:?}: {scale:?}");
            }
        }
    }

    #[test]
    fn a_scale_can_be_limited_to_possible_values() {
        let scale = |values: [f64; 2]| Scale::linear(values.into_iter(), false).within(0.0, 1.0);
        assert_eq!(scale([1.0, 1.0]).domain(), (0.4, 1.0));
        assert_eq!(scale([0.0, 0.0]).domain(), (0.0, 1.0));
        assert_eq!(scale([0.95, 1.02]).domain().1, 1.0);
        assert_eq!(scale([2.0, 3.0]).domain(), (0.0, 1.0));
        assert_eq!(scale([1.0, 1.0]).ticks(5).last(), Some(&1.0));
    }

    #[test]
    fn a_wide_range_is_logarithmic() {
        assert!(Scale::sensible([0.001, 1.0].into_iter()).is_log());
        assert!(!Scale::sensible([0.001, 0.002].into_iter()).is_log());
        assert!(!Scale::sensible([0.0, 1.0].into_iter()).is_log());
        assert!(!Scale::sensible([-1.0, 100.0].into_iter()).is_log());
    }

    proptest! {
        #[test]
        fn places_are_on_the_line_and_in_order(values in prop::collection::vec(-1e9..1e9f64, 1..20), log: bool) {
            let scale = if log { Scale::log(values.iter().copied()) } else { Scale::linear(values.iter().copied(), false) };
            let scale = scale.onto(300.0, 20.0);
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let places: Vec<f64> = sorted.iter().map(|value| scale.place(*value)).collect();
            prop_assert!(places.iter().all(|place| (20.0 - 1e-9..=300.0 + 1e-9).contains(place)));
            prop_assert!(places.windows(2).all(|pair| pair[0] >= pair[1] - 1e-9));
            let ticks = scale.ticks(5);
            prop_assert!(ticks.len() <= 25 && ticks.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", ticks);
        }
    }
}
