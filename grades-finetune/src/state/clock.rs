//! The times of a run, breaks left out.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The times of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// Nanoseconds in training steps.
    pub nanoseconds: u64,
    /// Seconds since the run began.
    #[serde(rename = "wall_seconds")]
    pub wall: Stopwatch,
    /// Processor seconds in training steps; `None` in a run that an earlier version began without counting them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Seconds since the first step began.
    #[serde(rename = "loop_seconds")]
    pub training_loop: Stopwatch,
    /// Seconds in evaluations.
    pub eval_seconds: f64,
    /// Seconds in the evaluations between steps.
    pub validation_seconds: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            nanoseconds: 0,
            wall: Stopwatch::default(),
            cpu_seconds: Some(0.0),
            training_loop: Stopwatch::default(),
            eval_seconds: 0.0,
            validation_seconds: 0.0,
        }
    }
}

impl Clock {
    /// Adds the time of a training step.
    pub fn add_step(&mut self, time: Duration, cpu_seconds: f64) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds = self.nanoseconds.saturating_add(nanoseconds);
        self.cpu_seconds = self.cpu_seconds.map(|before| before + cpu_seconds);
    }

    /// Returns the seconds in training steps.
    pub fn train_seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds).as_secs_f64()
    }
}

/// A stopwatch, stored as its seconds. One that was read from a file stands still until it is started.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Stopwatch {
    before: f64,
    running_since: Option<Instant>,
}

impl Stopwatch {
    /// Runs on from its seconds so far, as if started at this instant.
    pub fn start_at(&mut self, instant: Instant) {
        *self = Self { before: self.seconds(), running_since: Some(instant) };
    }

    /// Returns the seconds so far.
    pub fn seconds(&self) -> f64 {
        self.before + self.running_since.map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    /// Returns a copy that stands still.
    #[must_use]
    pub fn stopped(&self) -> Self {
        Self::from(self.seconds())
    }
}

impl From<f64> for Stopwatch {
    fn from(seconds: f64) -> Self {
        Self { before: seconds, running_since: None }
    }
}

impl From<Stopwatch> for f64 {
    fn from(stopwatch: Stopwatch) -> Self {
        stopwatch.seconds()
    }
}
