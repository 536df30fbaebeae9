//! Test suites for policies of your own, behind the feature `testing`.
//!
//! [`policy_laws`] drives a policy through generated runs and checks the laws that every policy obeys:
//!
//! | law | statement |
//! |---|---|
//! | `resume` | after `state` and `restore` a policy decides as if there had been no break |
//! | `clone` | a clone evolves on its own |
//! | `finite` | statistics that are not finite never freeze and change nothing |
//! | `deterministic` | the same observations give the same decisions |
//! | `scale` | a scale-free policy decides alike when every gradient is multiplied by a constant |
//! | `compares` | where a policy freezes, `compares` gives its cause, or no threshold |
//! | `reads` | the statistics that a policy reads do not change |
//! | `strict` | `restore` refuses a state with a missing, an unknown or a wrong entry |
//! | `tracked-resume`, `tracked-clone`, `tracked-finite`, `tracked-scale` | the same inside of a tracker |
//!
//! ```toml
//! [dev-dependencies]
//! grades = { package = "grades-core", version = "0.1", default-features = false, features = ["testing"] }
//! ```

mod laws;
mod run;
mod tracked;

use std::fmt;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use crate::policy::FreezePolicy;
use crate::statistic::{ComponentSample, StatisticSet};
use laws::Law;

/// The laws that a policy breaks, each with a run that shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokenLaws {
    broken: Vec<(&'static str, String)>,
}

impl BrokenLaws {
    /// Returns the names of the broken laws.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.broken.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for BrokenLaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, message) in &self.broken {
            write!(f, "{separator}law \"{name}\" is broken: {message}")?;
            separator = "\n\n";
        }
        Ok(())
    }
}

/// As [`Display`](fmt::Display): a test that fails by `unwrap` or by returning it shows the message in lines.
impl fmt::Debug for BrokenLaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BrokenLaws {}

/// Checks all laws of this module on the policy that `fresh` makes.
///
/// Each call of `fresh` returns a policy without history. Runs are random; the environment variable `PROPTEST_CASES`
/// sets their number. Statistics have sizes around 1, so choose thresholds near 1 and short windows, or the policy
/// freezes nothing and the laws say little.
///
/// ```
/// use grades::policy::Threshold;
/// use grades::statistic::Statistic;
/// use grades::testing::policy_laws;
///
/// policy_laws(|| Box::new(Threshold::new(Statistic::GradRms, 0.5)))?;
/// # Ok::<(), grades::testing::BrokenLaws>(())
/// ```
///
/// # Errors
///
/// The laws that are broken, each with the smallest run found that shows it.
pub fn policy_laws(fresh: impl Fn() -> Box<dyn FreezePolicy>) -> Result<(), BrokenLaws> {
    let mut broken = Vec::new();
    for law in laws::ALL {
        if let Err(message) = check(law, &fresh) {
            broken.push((law.name, message));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(BrokenLaws { broken }) }
}

fn check(law: &Law, fresh: &dyn Fn() -> Box<dyn FreezePolicy>) -> Result<(), String> {
    for case in laws::fixed_cases() {
        (law.check)(fresh, &case).map_err(|error| format!("{error}\n{case:#?}"))?;
    }
    let mut config = Config { failure_persistence: None, ..Config::default() };
    // A run of a tracker covers as much as several of a policy alone.
    config.cases = (config.cases / if law.tracked { 8 } else { 4 }).max(1);
    let mut runner = TestRunner::new(config);
    runner.run(&laws::cases(), |case| (law.check)(fresh, &case)).map_err(|error| match error {
        TestError::Fail(reason, case) => format!("{reason}\n{case:#?}"),
        TestError::Abort(reason) => reason.to_string(),
    })
}

/// Returns a sample with these statistics for a gradient of about this size.
///
/// ```
/// use grades::statistic::{Statistic, StatisticSet};
/// use grades::testing::sample;
///
/// let sample = sample(StatisticSet::of([Statistic::SignalFraction]), 2.0);
/// assert_eq!(sample.get(Statistic::SignalFraction), Some(1.75));
/// ```
pub fn sample(statistics: StatisticSet, size: f64) -> ComponentSample {
    run::sample(statistics, size, 1.0)
}

/// The outcome of a law on one case.
type Outcome = Result<(), TestCaseError>;
