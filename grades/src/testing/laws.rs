//! The laws, each a function of a policy without history and of a generated run.

use proptest::prelude::*;
use toml::{Table, Value};

use super::Outcome;
use super::run::{Answer, Check, Run, runs};
use super::tracked::{self, Drive, Treated, Treatment};
use crate::component::ComponentKind;
use crate::error::Error;
use crate::policy::Cooldown;
use crate::policy::{Decision, FreezePolicy, PolicyState};

/// Makes a policy without history.
type Fresh<'a> = &'a dyn Fn() -> Box<dyn FreezePolicy>;

/// A law with its name.
pub(super) struct Law {
    pub(super) name: &'static str,
    /// Whether it drives a tracker.
    pub(super) tracked: bool,
    pub(super) check: fn(Fresh<'_>, &Case) -> Outcome,
}

const fn alone(name: &'static str, check: fn(Fresh<'_>, &Case) -> Outcome) -> Law {
    Law { name, tracked: false, check }
}

const fn tracked(name: &'static str, check: fn(Fresh<'_>, &Case) -> Outcome) -> Law {
    Law { name, tracked: true, check }
}

pub(super) const ALL: &[Law] = &[
    alone("resume", resumes_exactly),
    alone("clone", clone_is_independent),
    alone("finite", ignores_values_that_are_not_finite),
    alone("deterministic", is_deterministic),
    alone("scale", is_scale_free_as_declared),
    alone("compares", compares_its_cause),
    alone("reads", reads_the_same_statistics),
    alone("strict", restores_strictly),
    alone("least-checks", decides_no_sooner_than_it_says),
    tracked("tracked-resume", resumes_in_a_tracker),
    tracked("tracked-clone", is_cloned_in_a_tracker),
    tracked("tracked-finite", ignores_values_that_are_not_finite_in_a_tracker),
    tracked("tracked-scale", freezes_alike_when_scaled),
];

/// A generated run, and how a law uses it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    run: Run,
    /// The check before which a policy is saved or cloned, as a share of the run.
    cut: f64,
    drive: Drive,
    /// The constant that gradients are multiplied by: a power of 2, so that nothing is rounded.
    exact: f64,
    /// Any constant.
    rough: f64,
}

impl Case {
    fn cut(&self) -> usize {
        (self.cut * self.run.checks.len() as f64) as usize
    }

    /// Returns the run without checks that are not finite.
    fn finite_run(&self) -> Run {
        let finite = |check: &Check| check.sizes.iter().all(|size| size.is_finite());
        let checks = self.run.checks.iter().copied().filter(finite).collect();
        Run { kind: self.run.kind, grace_checks: self.run.grace_checks, checks }
    }
}

/// Generates cases.
pub(super) fn cases() -> impl Strategy<Value = Case> {
    let cooldown = prop::option::of(prop_oneof![
        (0u64..4).prop_map(Cooldown::Steps),
        (0.0..1.5f64).prop_map(|share| Cooldown::Share { share }),
    ]);
    let drive = (cooldown, 1u64..3).prop_map(|(cooldown, check_every)| Drive {
        cooldown,
        check_every,
        ..Drive::PLAIN
    });
    (runs(), 0.0..1.0f64, drive, -40..40i32, 1e-6..1e6f64).prop_map(|(run, cut, drive, exponent, rough)| {
        Case { run, cut, drive, exact: f64::from(exponent).exp2(), rough }
    })
}

/// Returns runs that the random ones are unlikely to contain: one that is loud and then quiet for long, one that falls
/// steadily, and one whose short quiet phases are interrupted.
pub(super) fn fixed_cases() -> Vec<Case> {
    let quiet_at_last = [[Check::of(2.0); 40].as_slice(), &[Check::of(0.01); 60]].concat();
    let falling = (0..40).map(|check| Check::of(2.0 * 0.8f64.powi(check))).collect();
    let sizes = [0.5, 0.5, f64::NAN, 0.5, 2.0, f64::INFINITY, 0.5, 0.5, 0.5, 0.5];
    let mut interrupted = sizes.map(Check::of).to_vec();
    (interrupted[1].frozen, interrupted[8].frozen) = (true, true);
    for check in &mut interrupted {
        // One component is loud all the time, so that the tracker goes on.
        check.sizes[3] = 2.0;
        if check.frozen {
            check.sizes[0] = 0.5;
        }
    }
    let runs = [quiet_at_last, falling, interrupted];
    let case = |checks: &Vec<Check>, cut: f64| {
        let run = Run { kind: ComponentKind::Query, grace_checks: 0, checks: checks.clone() };
        Case { run, cut, drive: Drive::PLAIN, exact: 4.0, rough: 3.0 }
    };
    let cuts = || (0..6).map(|cut| f64::from(cut) / 6.0);
    runs.iter().flat_map(|checks| cuts().map(|cut| case(checks, cut)).collect::<Vec<_>>()).collect()
}

fn fail(error: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

fn decides_no_sooner_than_it_says(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let mut policy = fresh();
    let least = policy.least_checks();
    for index in 0..case.run.checks.len() {
        let freezes = case.run.ask(&mut *policy, index).decision.is_freeze();
        prop_assert!(
            !freezes || index as u64 + 1 >= least,
            "a freeze at check {} of at least {least}",
            index + 1
        );
    }
    Ok(())
}

fn resumes_exactly(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let (run, cut) = (&case.run, case.cut());
    let mut unbroken = fresh();
    run.ask_all(&mut *unbroken, 0..cut);
    let text = toml::to_string(&unbroken.state().map_err(fail)?).map_err(fail)?;
    let read = || toml::from_str::<PolicyState>(&text).map_err(fail);

    // One without history, and one whose own history must be replaced.
    let mut new = fresh();
    let mut used = fresh();
    run.ask_all(&mut *used, (0..run.checks.len()).rev());
    for resumed in [&mut new, &mut used] {
        resumed.restore(&read()?).map_err(fail)?;
        let again = toml::to_string(&resumed.state().map_err(fail)?).map_err(fail)?;
        prop_assert_eq!(&again, &text, "the state after restore");
    }
    for index in cut..run.checks.len() {
        let expected = run.ask(&mut *unbroken, index);
        let hint = "a policy with a history implements `state` and `restore`";
        prop_assert_eq!(
            run.ask(&mut *new, index),
            expected.clone(),
            "check {} after restore: {}",
            index,
            hint
        );
        prop_assert_eq!(run.ask(&mut *used, index), expected, "check {} of a used policy: {}", index, hint);
    }
    Ok(())
}

fn clone_is_independent(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let (run, cut) = (&case.run, case.cut());
    let mut alone = fresh();
    let mut first = fresh();
    run.ask_all(&mut *alone, 0..cut);
    run.ask_all(&mut *first, 0..cut);
    let mut second = first.clone();
    let mut astray = first.clone();
    for index in cut..run.checks.len() {
        run.ask_all(&mut *astray, (index.saturating_sub(5)..=index).rev());
        let expected = run.ask(&mut *alone, index);
        prop_assert_eq!(run.ask(&mut *first, index), expected.clone(), "the original at check {}", index);
        prop_assert_eq!(run.ask(&mut *second, index), expected, "the clone at check {}", index);
    }
    Ok(())
}

fn ignores_values_that_are_not_finite(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let mut with = fresh();
    let mut without = fresh();
    for (index, check) in case.run.checks.iter().enumerate() {
        let answer = case.run.ask(&mut *with, index);
        if check.is_finite() {
            prop_assert_eq!(case.run.ask(&mut *without, index), answer, "check {}", index);
        } else {
            let answer = Answer { compares: None, unbounded: false, ..answer };
            prop_assert_eq!(answer, Answer::NONE, "check {}", index);
        }
    }
    Ok(())
}

fn is_deterministic(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let run = &case.run;
    let all = 0..run.checks.len();
    let answers = run.ask_all(&mut *fresh(), all.clone());
    prop_assert_eq!(run.ask_all(&mut *fresh(), all.clone()), answers.clone());
    let elsewhere = std::thread::scope(|scope| {
        let mut moved = fresh();
        scope.spawn(move || run.ask_all(&mut *moved, all)).join()
    });
    let elsewhere = elsewhere.map_err(|_| fail("the policy panics in another thread"))?;
    prop_assert_eq!(elsewhere, answers, "in another thread");
    Ok(())
}

fn compares_its_cause(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let mut policy = fresh();
    for index in 0..case.run.checks.len() {
        let answer = case.run.ask(&mut *policy, index);
        let Decision::Freeze(cause) = answer.decision else { continue };
        // A comparison without a threshold, the default, says nothing about the decision.
        prop_assert!(
            answer.compares.is_some() || answer.unbounded,
            "check {}: {:?} is not compared",
            index,
            cause
        );
        if let Some(compared) = answer.compares {
            // A policy that asks several may show another one that says so too.
            let other = compared.policy != cause.policy || compared.measure != cause.measure;
            let as_well = other && compared.value <= compared.threshold;
            prop_assert!(
                compared == cause || as_well,
                "check {}: {:?} instead of {:?}",
                index,
                compared,
                cause
            );
        }
    }
    Ok(())
}

fn reads_the_same_statistics(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let mut asked = fresh();
    case.run.ask_all(&mut *asked, 0..case.run.checks.len());
    prop_assert_eq!(asked.statistics(), fresh().statistics());
    Ok(())
}

fn is_scale_free_as_declared(fresh: Fresh<'_>, case: &Case) -> Outcome {
    decides_alike(fresh, &case.finite_run(), case.exact, 0.0)?;
    decides_alike(fresh, &case.finite_run(), case.rough, 1e-9)
}

/// Checks that decisions agree. Where value and threshold are closer than `tolerance`, rounding may decide, and all
/// that follows with it.
fn decides_alike(fresh: Fresh<'_>, run: &Run, factor: f64, tolerance: f64) -> Outcome {
    if !fresh().is_scale_free() {
        return Ok(());
    }
    let mut plain = fresh();
    let mut scaled = fresh();
    for index in 0..run.checks.len() {
        let answers = [run.ask(&mut *plain, index), run.ask_scaled(&mut *scaled, index, factor)];
        let decisions = answers.map(|answer| answer.decision);
        if decisions[0].is_freeze() != decisions[1].is_freeze() {
            let near = decisions.iter().any(|decision| match decision {
                Decision::Freeze(cause) => {
                    (cause.value - cause.threshold).abs() <= tolerance * cause.threshold.abs()
                }
                _ => false,
            });
            prop_assert!(near, "check {} times {}: {:?}", index, factor, decisions);
            return Ok(());
        }
    }
    Ok(())
}

fn restores_strictly(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let mut asked = fresh();
    case.run.ask_all(&mut *asked, 0..case.run.checks.len());
    let state = asked.state().map_err(fail)?.as_table().clone();
    let refusal = |table: Table, what: String| match fresh().restore(&PolicyState::from_table(table)) {
        Err(error @ Error::State { .. }) => Ok(error.to_string()),
        other => Err(fail(format!("{what}: expected Error::State, found {other:?}"))),
    };
    for path in tables(&state) {
        let changed = |change: &dyn Fn(&mut Table)| {
            let mut state = state.clone();
            if let Some(table) = at(&mut state, &path) {
                change(table);
            }
            state
        };
        let extra = changed(&|table| drop(table.insert("unheard-of".to_owned(), Value::Integer(1))));
        let error = refusal(extra, "an unknown entry".to_owned())?;
        prop_assert!(error.contains("unheard-of"), "the error names the unknown entry: {}", error);
        let entries: Vec<String> =
            at(&mut state.clone(), &path).map(|table| table.keys().cloned().collect()).unwrap_or_default();
        for entry in entries {
            let missing = changed(&|table| drop(table.remove(&entry)));
            let error = refusal(missing, format!("without entry {entry}"))?;
            prop_assert!(error.contains(&entry), "without {}: {}", entry, error);
            let date = Value::Datetime("2025-09-01".parse().map_err(fail)?);
            let wrong = changed(&|table| drop(table.insert(entry.clone(), date.clone())));
            refusal(wrong, format!("a date as {entry}"))?;
        }
    }
    Ok(())
}

/// A table in a table, or in a list of tables.
type Place = (String, Option<usize>);

/// Returns the paths of a table and of all tables in it, lists of tables included.
fn tables(table: &Table) -> Vec<Vec<Place>> {
    let mut paths = vec![Vec::new()];
    for (key, value) in table {
        let list = value.as_array().into_iter().flatten().enumerate();
        let listed = list.map(|(index, value)| (Some(index), value));
        for (index, value) in listed.chain([(None, value)]) {
            let inner = value.as_table().map(tables).unwrap_or_default();
            paths.extend(inner.into_iter().map(|path| [vec![(key.clone(), index)], path].concat()));
        }
    }
    paths
}

fn at<'a>(table: &'a mut Table, path: &[Place]) -> Option<&'a mut Table> {
    path.iter().try_fold(table, |table, (key, index)| {
        let value = table.get_mut(key)?;
        let inner = match index {
            Some(index) => value.get_mut(*index)?,
            None => value,
        };
        inner.as_table_mut()
    })
}

fn resumes_in_a_tracker(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let resumed = Treated::new(fresh(), Treatment::ResumeAt(case.cut() as u64 + 1));
    let unbroken = Treated::untouched(fresh());
    let events = |policy| tracked::events(&case.run, case.drive, policy).map_err(fail);
    prop_assert_eq!(events(resumed)?, events(unbroken)?);
    Ok(())
}

fn is_cloned_in_a_tracker(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let cloned = Treated::new(fresh(), Treatment::Clone);
    let left_alone = Treated::untouched(fresh());
    let events = |policy| tracked::events(&case.run, case.drive, policy).map_err(fail);
    prop_assert_eq!(events(cloned)?, events(left_alone)?);
    Ok(())
}

fn ignores_values_that_are_not_finite_in_a_tracker(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let events = |drive| tracked::events(&case.run, drive, Treated::untouched(fresh())).map_err(fail);
    prop_assert_eq!(events(case.drive)?, events(Drive { absent: true, ..case.drive })?);
    Ok(())
}

fn freezes_alike_when_scaled(fresh: Fresh<'_>, case: &Case) -> Outcome {
    let run = case.finite_run();
    if fresh().is_scale_free() && !run.checks.is_empty() {
        let happened = |factor| {
            let drive = Drive { factor, ..case.drive };
            let events = tracked::events(&run, drive, Treated::untouched(fresh())).map_err(fail)?;
            let words = events.into_iter().map(|event| (event.step, event.event, event.index));
            Ok::<_, TestCaseError>(words.collect::<Vec<_>>())
        };
        prop_assert_eq!(happened(case.exact)?, happened(1.0)?, "times {}", case.exact);
    }
    Ok(())
}
