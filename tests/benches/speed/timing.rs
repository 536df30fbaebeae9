//! Contests: each contender takes its turn, round after round, so that a machine that drifts favours none.

use std::time::{Duration, Instant};

/// A contender: its name, and a turn that says how many milliseconds it took.
pub(crate) type Contender<'a> = (String, Box<dyn FnMut() -> f64 + 'a>);

/// The milliseconds of a call.
pub(crate) fn milliseconds(call: impl FnOnce()) -> f64 {
    let start = Instant::now();
    call();
    start.elapsed().as_secs_f64() * 1e3
}

pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2.0 }
}

/// The times of contenders, in rounds.
pub(crate) struct Times(Vec<Vec<f64>>);

impl Times {
    /// The median time of a contender.
    pub(crate) fn of(&self, contender: usize) -> f64 {
        median(self.0[contender].clone())
    }

    /// The median over the rounds of one contender's time over another's in the same round.
    pub(crate) fn ratio(&self, one: usize, other: usize) -> f64 {
        median(self.0[one].iter().zip(&self.0[other]).map(|(one, other)| one / other).collect())
    }
}

/// So many rounds, after one that makes what is needed and is not counted. The order turns round from round to round.
///
/// Before each turn the threads of the one before, which wait for more work for a while at full speed, come to rest.
pub(crate) fn contest(rounds: usize, contenders: &mut [Contender<'_>]) -> Times {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    let count = contenders.len();
    for round in 0..=rounds {
        for turn in 0..count {
            let index = if round % 2 == 0 { turn } else { count - 1 - turn };
            std::thread::sleep(Duration::from_millis(4));
            let took = contenders[index].1();
            if round > 0 {
                times[index].push(took);
            }
        }
    }
    Times(times)
}
