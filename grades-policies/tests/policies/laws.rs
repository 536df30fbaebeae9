//! The laws that hold for every linked policy.
//!
//! Each law is a function of a policy that has seen nothing yet and of a made-up run, so that it can be tried on a
//! policy that breaks it, too: see the last tests.

use grades::Error;
use grades::component::ComponentKind;
use grades::config::Cooldown;
use grades::policy::{Decision, FreezePolicy, PolicyRegistry, PolicyState};
use grades::tracker::Transition;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use toml::{Table, Value};

use crate::examples::EXAMPLES;
use crate::run::{Answer, Check, Run, finite_runs, runs};
use crate::support::{build, build_table};
use crate::tracked::{self, Drive, Treated, Treatment};

type Law = Result<(), TestCaseError>;

/// Makes a policy that has seen nothing yet.
type Fresh<'a> = &'a dyn Fn() -> Box<dyn FreezePolicy>;

/// Tries a law on all examples.
fn for_all_examples(law: impl Fn(Fresh<'_>) -> Law) -> Law {
    for example in EXAMPLES {
        let prototype = build(example).unwrap_or_else(|problems| panic!("{example}\n{problems}"));
        law(&|| prototype.clone()).map_err(|error| TestCaseError::fail(format!("{example}\n{error}")))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_a_restore_decisions_are_the_same_ever_after(run in runs(), cut in any::<prop::sample::Index>()) {
        for_all_examples(|fresh| resumes_exactly(fresh, &run, cut.index(run.checks.len())))?;
    }

    #[test]
    fn a_clone_evolves_on_its_own(run in runs(), cut in any::<prop::sample::Index>()) {
        for_all_examples(|fresh| clone_is_independent(fresh, &run, cut.index(run.checks.len())))?;
    }

    #[test]
    fn what_is_not_finite_never_freezes_and_leaves_no_trace(run in runs()) {
        for_all_examples(|fresh| skips_what_is_not_finite(fresh, &run))?;
    }

    #[test]
    fn the_same_observations_give_the_same_decisions(run in runs()) {
        for_all_examples(|fresh| is_deterministic(fresh, &run))?;
    }

    #[test]
    fn scale_free_policies_decide_alike_when_all_gradients_are_multiplied(
        run in finite_runs(),
        exponent in -40..40i32,
        factor in 1e-6..1e6f64,
    ) {
        for_all_examples(|fresh| {
            is_as_scale_free_as_it_says(fresh, &run, f64::from(exponent).exp2(), 0.0)?;
            is_as_scale_free_as_it_says(fresh, &run, factor, 1e-9)
        })?;
    }

    #[test]
    fn what_a_freeze_compared_is_what_it_says_that_it_compares(run in runs()) {
        for_all_examples(|fresh| says_what_it_compared(fresh, &run))?;
    }

    #[test]
    fn what_it_reads_does_not_change(run in runs()) {
        for_all_examples(|fresh| {
            let mut asked = fresh();
            run.ask_all(&mut *asked, 0..run.checks.len());
            prop_assert_eq!(asked.statistics(), fresh().statistics());
            prop_assert!(!asked.statistics().is_empty(), "it reads nothing");
            Ok(())
        })?;
    }

    #[test]
    fn a_state_with_a_missing_an_extra_or_a_wrong_entry_is_refused(run in runs()) {
        for_all_examples(|fresh| restores_strictly(fresh, &run))?;
    }
}

proptest! {
    // A run of a tracker is worth several of a policy alone.
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_a_tracker_a_policy_that_is_restored_or_cloned_at_any_step_goes_on_as_if_nothing_had_happened(
        run in runs(),
        cut in any::<prop::sample::Index>(),
        drive in drives(),
    ) {
        for_all_examples(|fresh| {
            resumes_in_a_tracker(fresh, &run, drive, cut.index(run.checks.len()))?;
            is_cloned_in_a_tracker(fresh, &run, drive)
        })?;
    }

    #[test]
    fn in_a_tracker_what_is_not_finite_is_as_good_as_absent(run in runs(), drive in drives()) {
        for_all_examples(|fresh| {
            let absent = Drive { absent: true, ..drive };
            prop_assert_eq!(
                tracked::events(&run, drive, Treated::untouched(fresh())),
                tracked::events(&run, absent, Treated::untouched(fresh()))
            );
            Ok(())
        })?;
    }

    #[test]
    fn in_a_tracker_scale_free_policies_freeze_alike_when_all_gradients_are_multiplied(
        run in finite_runs(),
        exponent in -40..40i32,
        drive in drives(),
    ) {
        for_all_examples(|fresh| freezes_alike_when_scaled(fresh, &run, drive, f64::from(exponent).exp2()))?;
    }
}

/// Ways to drive a tracker.
fn drives() -> impl Strategy<Value = Drive> {
    let cooldown = prop::option::of(prop_oneof![
        (0u64..4).prop_map(Cooldown::Steps),
        (0.0..1.5f64).prop_map(|share| Cooldown::Share { share }),
    ]);
    (cooldown, 1u64..3).prop_map(|(cooldown, check_every)| Drive { cooldown, check_every, ..Drive::PLAIN })
}

fn resumes_in_a_tracker(fresh: Fresh<'_>, run: &Run, drive: Drive, cut: usize) -> Law {
    let resumed = Treated::new(fresh(), Treatment::ResumeAt(cut as u64 + 1));
    let unbroken = Treated::untouched(fresh());
    prop_assert_eq!(tracked::events(run, drive, resumed), tracked::events(run, drive, unbroken));
    Ok(())
}

fn is_cloned_in_a_tracker(fresh: Fresh<'_>, run: &Run, drive: Drive) -> Law {
    let cloned = Treated::new(fresh(), Treatment::Clone);
    let left_alone = Treated::untouched(fresh());
    prop_assert_eq!(tracked::events(run, drive, cloned), tracked::events(run, drive, left_alone));
    Ok(())
}

fn freezes_alike_when_scaled(fresh: Fresh<'_>, run: &Run, drive: Drive, factor: f64) -> Law {
    if fresh().is_scale_free() {
        let happened = |factor| {
            let events = tracked::events(run, Drive { factor, ..drive }, Treated::untouched(fresh()));
            events.into_iter().map(|event| (event.step, event.event, event.index)).collect::<Vec<_>>()
        };
        prop_assert_eq!(happened(factor), happened(1.0), "times {}", factor);
    }
    Ok(())
}

fn resumes_exactly(fresh: Fresh<'_>, run: &Run, cut: usize) -> Law {
    let mut unbroken = fresh();
    run.ask_all(&mut *unbroken, 0..cut);
    let text = toml::to_string(&unbroken.state().unwrap())
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    let read =
        || toml::from_str::<PolicyState>(&text).map_err(|error| TestCaseError::fail(error.to_string()));

    // One that has seen nothing, and one that has another history to forget.
    let mut new = fresh();
    let mut used = fresh();
    run.ask_all(&mut *used, (0..run.checks.len()).rev());
    for resumed in [&mut new, &mut used] {
        resumed.restore(&read()?).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(toml::to_string(&resumed.state().unwrap()).unwrap(), text.clone());
    }
    for index in cut..run.checks.len() {
        let expected = run.ask(&mut *unbroken, index);
        prop_assert_eq!(run.ask(&mut *new, index), expected.clone(), "check {} of a new one", index);
        prop_assert_eq!(run.ask(&mut *used, index), expected, "check {} of a used one", index);
    }
    Ok(())
}

fn clone_is_independent(fresh: Fresh<'_>, run: &Run, cut: usize) -> Law {
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

fn skips_what_is_not_finite(fresh: Fresh<'_>, run: &Run) -> Law {
    let mut with = fresh();
    let mut without = fresh();
    for (index, check) in run.checks.iter().enumerate() {
        let decision = run.ask(&mut *with, index);
        if check.is_finite() {
            prop_assert_eq!(run.ask(&mut *without, index), decision, "check {}", index);
        } else {
            // What it would compare is not asked then.
            prop_assert_eq!(Answer { compares: None, ..decision }, Answer::NONE, "check {}", index);
        }
    }
    Ok(())
}

fn is_deterministic(fresh: Fresh<'_>, run: &Run) -> Law {
    let all = 0..run.checks.len();
    let decisions = run.ask_all(&mut *fresh(), all.clone());
    prop_assert_eq!(run.ask_all(&mut *fresh(), all.clone()), decisions.clone());
    let elsewhere = std::thread::scope(|scope| {
        let mut moved = fresh();
        scope.spawn(move || run.ask_all(&mut *moved, all)).join().unwrap()
    });
    prop_assert_eq!(elsewhere, decisions, "in another thread");
    Ok(())
}

/// `any-of` has several to choose from, and may show another that is as low.
fn says_what_it_compared(fresh: Fresh<'_>, run: &Run) -> Law {
    let mut policy = fresh();
    for index in 0..run.checks.len() {
        let answer = run.ask(&mut *policy, index);
        if let Decision::Freeze(cause) = answer.decision {
            let Some(compared) = answer.compares else {
                return Err(TestCaseError::fail(format!("check {index} compares nothing, and freezes")));
            };
            if policy.name() == "any-of" {
                prop_assert!(compared.value <= compared.threshold, "check {}: {:?}", index, compared);
            } else {
                prop_assert_eq!(compared, cause, "check {}", index);
            }
        }
    }
    Ok(())
}

/// Where value and threshold are closer than `tolerance`, rounding may decide, and all that follows with it.
fn is_as_scale_free_as_it_says(fresh: Fresh<'_>, run: &Run, factor: f64, tolerance: f64) -> Law {
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

fn restores_strictly(fresh: Fresh<'_>, run: &Run) -> Law {
    let mut asked = fresh();
    run.ask_all(&mut *asked, 0..run.checks.len());
    let state = asked.state().unwrap().as_table().clone();
    let refusal = |table: Table| match fresh().restore(&PolicyState::from_table(table)) {
        Err(error @ Error::State { .. }) => Ok(error.to_string()),
        other => Err(TestCaseError::fail(format!("{other:?}"))),
    };
    for path in tables(&state) {
        let mut extra = state.clone();
        at(&mut extra, &path).insert("unheard-of".to_owned(), Value::Integer(1));
        let error = refusal(extra).map_err(|error| TestCaseError::fail(format!("extra entry: {error}")))?;
        prop_assert!(error.contains("unheard-of"), "{}", error);
        let entries: Vec<String> = at(&mut state.clone(), &path).keys().cloned().collect();
        for entry in entries {
            let mut missing = state.clone();
            at(&mut missing, &path).remove(&entry);
            let error =
                refusal(missing).map_err(|error| TestCaseError::fail(format!("without {entry}: {error}")))?;
            prop_assert!(error.contains(&entry), "without {}: {}", entry, error);
            let mut wrong = state.clone();
            at(&mut wrong, &path).insert(entry.clone(), date());
            refusal(wrong).map_err(|error| TestCaseError::fail(format!("a date as {entry}: {error}")))?;
        }
    }
    Ok(())
}

/// A table in a table, or in a list of tables.
type Place = (String, Option<usize>);

/// The paths of a table and of all tables in it, lists of tables included.
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

fn at<'a>(table: &'a mut Table, path: &[Place]) -> &'a mut Table {
    path.iter().fold(table, |table, (key, index)| {
        let value = &mut table[key];
        let inner = match index {
            Some(index) => &mut value[*index],
            None => value,
        };
        inner.as_table_mut().unwrap()
    })
}

fn dotted(path: &[Place]) -> String {
    let place = |(key, index): &Place| index.map_or(key.clone(), |index| format!("{key}[{index}]"));
    path.iter().map(place).collect::<Vec<_>>().join(".")
}

/// A value that no policy takes.
fn date() -> Value {
    Value::Datetime("2025-09-01".parse().unwrap())
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    for example in EXAMPLES {
        let mut table: Table = example.parse().unwrap();
        table.insert("unheard-of".to_owned(), Value::Integer(1));
        let problems = build_table(&table).unwrap_err();
        let [problem] = problems.as_slice() else { panic!("{example}\n{problems}") };
        assert_eq!(problem.key, "policy.unheard-of", "{example}");
    }
}

#[test]
fn a_child_with_an_unknown_key_is_an_error_with_its_path() {
    for example in EXAMPLES {
        let table: Table = example.parse().unwrap();
        let children = tables(&table)
            .into_iter()
            .filter(|path| !path.is_empty() && at(&mut table.clone(), path).contains_key("name"));
        for path in children {
            let mut wrong = table.clone();
            at(&mut wrong, &path).insert("unheard-of".to_owned(), Value::Integer(1));
            let problems = build_table(&wrong).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{example}\n{problems}") };
            assert_eq!(problem.key, format!("policy.{}.unheard-of", dotted(&path)), "{example}");
        }
    }
}

#[test]
fn every_key_that_is_declared_is_read_and_every_value_checked() {
    for example in EXAMPLES {
        let table: Table = example.parse().unwrap();
        let plugin = PolicyRegistry::linked().unwrap().get(table["name"].as_str().unwrap()).unwrap();
        for key in plugin.keys() {
            let mut wrong = table.clone();
            wrong.insert(key.name.to_owned(), date());
            let problems = build_table(&wrong).map(|_| ()).unwrap_err();
            let expected = format!("policy.{}", key.name);
            assert!(
                problems.as_slice().iter().any(|problem| problem.key == expected),
                "{example}\n{problems}"
            );
        }
    }
}

#[test]
fn the_name_is_kebab_case_and_the_same_everywhere() {
    for example in EXAMPLES {
        let table: Table = example.parse().unwrap();
        let written = table["name"].as_str().unwrap();
        let plugin = PolicyRegistry::linked().unwrap().get(written).unwrap();
        assert!(written == plugin.name() || Some(written) == plugin.alias(), "{written}");
        assert_eq!(build(example).unwrap().name(), plugin.name());
        let word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        assert!(written.split('-').all(word), "{written}");
    }
}

/// Loud, then quiet.
fn quiet_at_last() -> Run {
    let checks = [[Check::of(2.0); 40].as_slice(), &[Check::of(0.01); 60]].concat();
    Run { kind: ComponentKind::Query, grace_checks: 0, checks }
}

#[test]
fn every_example_freezes_what_is_quiet_for_long() {
    // Otherwise the laws would compare one endless row of `Keep` with another.
    let run = quiet_at_last();
    for example in EXAMPLES {
        let answers = run.ask_all(&mut *build(example).unwrap(), 0..run.checks.len());
        let frozen = answers.iter().filter(|answer| answer.decision.is_freeze()).count();
        assert!(0 < frozen && frozen < run.checks.len(), "{example}\n{frozen}");
        let events = tracked::events(&run, Drive::PLAIN, Treated::untouched(build(example).unwrap()));
        let components: std::collections::BTreeSet<_> =
            events.iter().filter(|event| event.policy != "deadline").map(|event| event.index).collect();
        assert!(!components.is_empty(), "{example}");
    }
}

#[test]
fn every_example_that_thaws_does() {
    let mut thawing = 0;
    for example in EXAMPLES {
        let policy = build(example).unwrap();
        if policy.thaws() {
            thawing += 1;
            let drive = Drive { cooldown: Some(Cooldown::Steps(0)), ..Drive::PLAIN };
            let mut run = quiet_at_last();
            // One that never is quiet keeps the run from ending.
            run.checks.iter_mut().for_each(|check| check.sizes[0] = 2.0);
            let events = tracked::events(&run, drive, Treated::untouched(policy));
            assert!(events.iter().any(|event| event.event == Transition::Thaw), "{example}\n{events:?}");
        }
    }
    assert!(thawing >= 5, "{thawing}");
}

#[test]
fn every_example_that_scores_is_ranked_by_it() {
    let mut scoring = 0;
    for example in EXAMPLES {
        let table: Table = example.parse().unwrap();
        let run = quiet_at_last();
        let scores = run.ask_all(&mut *build(example).unwrap(), 0..60);
        let scored = scores.iter().any(|answer| answer.score.is_some());
        let quota = toml::to_string(&table).unwrap().contains("quota");
        assert!(quota || !scored, "{example}");
        scoring += usize::from(scored);
    }
    assert!(scoring >= 5, "{scoring}");
}

mod breakers;
