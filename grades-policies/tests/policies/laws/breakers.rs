//! Each law is tried on a policy that breaks it: a law that cannot fail is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grades::Result;
use grades::component::ComponentKind;
use grades::policy::{Cause, Decision, FreezePolicy, FrozenObservation, Measure, Observation, PolicyState};
use grades::statistic::{Statistic, StatisticSet};

use super::*;
use crate::run::Check;

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

    fn score(&mut self, observation: &Observation<'_>) -> Option<f64> {
        observation.value(Statistic::GradL1).filter(|value| value.is_finite())?;
        self.scored += 1;
        Some((self.scored % 3) as f64)
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

/// Quiet checks with something that is not finite between them, the second frozen.
fn run() -> Run {
    let sizes = [0.5, 0.5, f64::NAN, 0.5, 2.0, f64::INFINITY, 0.5, 0.5, 0.5, 0.5];
    let mut checks = sizes.map(Check::of).to_vec();
    (checks[1].frozen, checks[8].frozen) = (true, true);
    // One that is loud all the time, so that a tracker goes on.
    checks.iter_mut().for_each(|check| check.sizes[0] = if check.frozen { 0.5 } else { check.sizes[0] });
    checks.iter_mut().for_each(|check| check.sizes[3] = 2.0);
    Run { kind: ComponentKind::Query, grace_checks: 0, checks }
}

/// The names of the laws that a policy breaks.
fn broken(vice: Vice) -> Vec<&'static str> {
    let run = run();
    let finite =
        Run { checks: run.checks.iter().copied().filter(|check| check.is_finite()).collect(), ..run.clone() };
    type Named<'a> = (&'static str, &'a dyn Fn(Fresh<'_>) -> Law);
    let laws: [Named<'_>; 9] = [
        ("resume", &|fresh| resumes_exactly(fresh, &run, 4)),
        ("clone", &|fresh| clone_is_independent(fresh, &run, 4)),
        ("finite", &|fresh| skips_what_is_not_finite(fresh, &run)),
        ("deterministic", &|fresh| is_deterministic(fresh, &run)),
        ("scale", &|fresh| is_as_scale_free_as_it_says(fresh, &finite, 4.0, 0.0)),
        ("strict", &|fresh| restores_strictly(fresh, &run)),
        ("tracked resume", &|fresh| {
            (0..run.checks.len()).try_for_each(|cut| resumes_in_a_tracker(fresh, &run, Drive::PLAIN, cut))
        }),
        ("tracked clone", &|fresh| is_cloned_in_a_tracker(fresh, &run, Drive::PLAIN)),
        ("tracked scale", &|fresh| freezes_alike_when_scaled(fresh, &finite, Drive::PLAIN, 4.0)),
    ];
    let is_broken = |law: &dyn Fn(Fresh<'_>) -> Law| {
        let prototype = Breaker::with(vice);
        law(&|| Box::new(prototype.clone())).is_err()
    };
    laws.into_iter().filter(|(_, law)| is_broken(law)).map(|(name, _)| name).collect()
}

#[test]
fn a_policy_without_vices_breaks_no_law() {
    assert_eq!(broken(Vice::None), [""; 0]);
}

#[test]
fn each_vice_breaks_its_law() {
    let cases: [(Vice, &[&str]); 8] = [
        (Vice::Forgets, &["resume", "strict", "tracked resume"]),
        (Vice::Lenient, &["strict"]),
        (Vice::Shares, &["resume", "clone", "deterministic", "tracked clone"]),
        (Vice::CountsNan, &["finite"]),
        (Vice::ResetsAtNan, &["finite"]),
        (Vice::Boasts, &["scale", "tracked scale"]),
        (Vice::ForgetsScores, &["resume"]),
        (Vice::ForgetsFrozen, &["resume", "tracked resume"]),
    ];
    for (vice, expected) in cases {
        let broken = broken(vice);
        assert!(expected.iter().all(|law| broken.contains(law)), "{vice:?} breaks {broken:?}");
    }
}
