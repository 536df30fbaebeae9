//! Each law is tried on a policy that breaks it: a law that cannot fail is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grades::Result;
use grades::policy::{
    Cause, Decision, FreezePolicy, FrozenObservation, Measure, Observation, PolicyState, Score,
};
use grades::statistic::{Statistic, StatisticSet};

use grades::testing::policy_laws;
use toml::{Table, Value};

/// How the policy misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Vice {
    None,
    /// Its state is always empty.
    Forgets,
    /// Its state is taken back only in part: entries it does not know are ignored.
    Lenient,
    /// All clones count together.
    Shares,
    /// NaN counts as a hit.
    CountsNan,
    /// NaN starts the count anew.
    ResetsAtNan,
    /// Says that it is scale-free.
    Boasts,
    /// Its state is without what it counts when it is scored.
    ForgetsScores,
    /// Its state is without what it counts while it is frozen.
    ForgetsFrozen,
}

/// Freezes at every third quiet check, with a vice.
#[derive(Debug, Clone)]
struct Breaker {
    vice: Vice,
    hits: u64,
    scored: u64,
    frozen: u64,
    shared: Arc<AtomicU64>,
}

impl Breaker {
    fn with(vice: Vice) -> Self {
        Self { vice, hits: 0, scored: 0, frozen: 0, shared: Arc::default() }
    }
}

impl FreezePolicy for Breaker {
    fn name(&self) -> &'static str {
        "breaker"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let value = observation.value(Statistic::GradL1).unwrap();
        if !value.is_finite() {
            match self.vice {
                Vice::CountsNan => self.hits += 1,
                Vice::ResetsAtNan => self.hits = 0,
                _ => {}
            }
            return Decision::Keep;
        }
        if value >= 1.0 {
            return Decision::Keep;
        }
        self.hits += 1;
        self.shared.fetch_add(1, Ordering::Relaxed);
        let hits = if self.vice == Vice::Shares { self.shared.load(Ordering::Relaxed) } else { self.hits };
        if !hits.is_multiple_of(3) {
            return Decision::Keep;
        }
        Decision::Freeze(Cause::new("breaker", Statistic::GradL1, value, 1.0))
    }

    fn score(&mut self, observation: &Observation<'_>) -> Option<Score> {
        observation.value(Statistic::GradL1).filter(|value| value.is_finite())?;
        self.scored += 1;
        Some(Score::new(Measure::Rank, (self.scored % 3) as f64))
    }

    fn thaws(&self) -> bool {
        true
    }

    fn decide_frozen(&mut self, _: &FrozenObservation<'_>) -> Decision {
        self.frozen += 1;
        if !self.frozen.is_multiple_of(2) {
            return Decision::Keep;
        }
        let measure = Measure::ChecksFrozen;
        Decision::Thaw(Cause::new("breaker", measure, self.frozen as f64, 2.0))
    }

    fn state(&self) -> Result<PolicyState> {
        let entry = |name: &str, count: u64| (name.to_owned(), Value::Integer(count as i64));
        let scored = if self.vice == Vice::ForgetsScores { 0 } else { self.scored };
        let frozen = if self.vice == Vice::ForgetsFrozen { 0 } else { self.frozen };
        match self.vice {
            Vice::Forgets => Ok(PolicyState::default()),
            _ => Ok(PolicyState::from_table(Table::from_iter([
                entry("hits", self.hits),
                entry("scored", scored),
                entry("frozen", frozen),
            ]))),
        }
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            hits: u64,
            scored: u64,
            frozen: u64,
        }
        match self.vice {
            Vice::Forgets => {}
            Vice::Lenient => {
                let entry = |name| state.as_table().get(name).and_then(Value::as_integer).unwrap_or(0) as u64;
                (self.hits, self.scored, self.frozen) = (entry("hits"), entry("scored"), entry("frozen"));
            }
            _ => {
                let Strict { hits, scored, frozen } = state.read("breaker")?;
                (self.hits, self.scored, self.frozen) = (hits, scored, frozen);
            }
        }
        Ok(())
    }

    fn is_scale_free(&self) -> bool {
        self.vice == Vice::Boasts
    }
}

/// Returns the names of the laws that a policy breaks.
fn broken(vice: Vice) -> Vec<&'static str> {
    let prototype = Breaker::with(vice);
    let laws = policy_laws(|| Box::new(prototype.clone()));
    laws.err().map(|broken| broken.names().collect()).unwrap_or_default()
}

#[test]
fn a_policy_without_vices_breaks_no_law() {
    assert_eq!(broken(Vice::None), [""; 0]);
}

#[test]
fn each_vice_breaks_its_law() {
    let cases: [(Vice, &[&str]); 8] = [
        (Vice::Forgets, &["resume", "strict", "tracked-resume"]),
        (Vice::Lenient, &["strict"]),
        (Vice::Shares, &["resume", "clone", "deterministic", "tracked-clone"]),
        (Vice::CountsNan, &["finite"]),
        (Vice::ResetsAtNan, &["finite"]),
        (Vice::Boasts, &["scale", "tracked-scale"]),
        (Vice::ForgetsScores, &["resume"]),
        (Vice::ForgetsFrozen, &["resume", "tracked-resume"]),
    ];
    for (vice, expected) in cases {
        let broken = broken(vice);
        assert!(expected.iter().all(|law| broken.contains(law)), "{vice:?} breaks {broken:?}");
    }
}
