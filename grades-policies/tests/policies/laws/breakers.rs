//! Each law is tried on a policy that breaks it: a law that cannot fail is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use grades::{
    Cause, ComponentKind, Decision, FreezePolicy, Observation, PolicyState, Result, Statistic, StatisticSet,
};

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
}

/// Freezes at every third quiet check, with a vice.
#[derive(Debug, Clone)]
struct Breaker {
    vice: Vice,
    hits: u64,
    shared: Arc<AtomicU64>,
}

impl Breaker {
    fn with(vice: Vice) -> Self {
        Self { vice, hits: 0, shared: Arc::default() }
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
        Decision::Freeze(Cause {
            policy: "breaker",
            measure: Statistic::GradL1.into(),
            value,
            threshold: 1.0,
        })
    }

    fn state(&self) -> PolicyState {
        let hits = Value::Integer(self.hits as i64);
        match self.vice {
            Vice::Forgets => PolicyState::default(),
            _ => PolicyState::from_table(Table::from_iter([("hits".to_owned(), hits)])),
        }
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            hits: u64,
        }
        match self.vice {
            Vice::Forgets => {}
            Vice::Lenient => {
                self.hits = state.as_table().get("hits").and_then(Value::as_integer).unwrap_or(0) as u64;
            }
            _ => self.hits = state.read::<Strict>("breaker")?.hits,
        }
        Ok(())
    }

    fn is_scale_free(&self) -> bool {
        self.vice == Vice::Boasts
    }
}

/// Quiet checks with something that is not finite between them.
fn run() -> Run {
    let sizes = [0.5, f64::NAN, 0.5, 2.0, f64::INFINITY, 0.5, 0.5, 0.5];
    let checks = sizes.map(|size| Check { sizes: [size; 3] }).to_vec();
    Run { kind: ComponentKind::Query, grace_checks: 0, checks }
}

/// The names of the laws that a policy breaks.
fn broken(vice: Vice) -> Vec<&'static str> {
    let run = run();
    let finite =
        Run { checks: run.checks.iter().copied().filter(|check| check.is_finite()).collect(), ..run.clone() };
    type Named<'a> = (&'static str, &'a dyn Fn(Fresh<'_>) -> Law);
    let laws: [Named<'_>; 6] = [
        ("resume", &|fresh| resumes_exactly(fresh, &run, 3)),
        ("clone", &|fresh| clone_is_independent(fresh, &run, 3)),
        ("finite", &|fresh| skips_what_is_not_finite(fresh, &run)),
        ("deterministic", &|fresh| is_deterministic(fresh, &run)),
        ("scale", &|fresh| is_as_scale_free_as_it_says(fresh, &finite, 4.0, 0.0)),
        ("strict", &|fresh| restores_strictly(fresh, &run)),
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
    let cases: [(Vice, &[&str]); 6] = [
        (Vice::Forgets, &["resume", "strict"]),
        (Vice::Lenient, &["strict"]),
        (Vice::Shares, &["resume", "clone", "deterministic"]),
        (Vice::CountsNan, &["finite"]),
        (Vice::ResetsAtNan, &["finite"]),
        (Vice::Boasts, &["scale"]),
    ];
    for (vice, expected) in cases {
        let broken = broken(vice);
        assert!(expected.iter().all(|law| broken.contains(law)), "{vice:?} breaks {broken:?}");
    }
}
