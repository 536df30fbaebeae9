//! `quota`: a number of components by a schedule, the quietest first.

use grades::FreezingConfig;
use grades::component::{Component, ComponentKind};
use grades::policy::Cooldown;
use grades::policy::{Cause, Decision, FreezePolicy, Measure, Observation, Population};
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::Quota;

use crate::support::{assert_close, build, events, problems, tracker};

const FOUR: [&str; 4] = [
    "layers.0.self_attn.q_proj",
    "layers.0.self_attn.k_proj",
    "layers.1.self_attn.q_proj",
    "layers.1.self_attn.k_proj",
];

/// The events of four components over 10 steps whose gradients are `value(step, component)`.
fn run(config: &FreezingConfig, value: impl Fn(u64, usize) -> f64) -> String {
    let sample = |step, index| Some(ComponentSample::from_gradient(&[value(step, index)]));
    events(&mut tracker(&FOUR, config, 10), sample)
}

fn quota(max_share: f64) -> FreezingConfig {
    FreezingConfig::new(Quota::new(max_share, 1))
}

#[test]
fn the_allowance_follows_the_cubic_schedule_and_ties_go_by_position() {
    // Of 4: 1.08, 1.95, 2.63, 3.14, 3.5, 3.74, 3.89, 3.97, 4.00 (3.996), 4. The first sample does not count.
    assert_eq!(run(&quota(1.0), |_, _| 1.0), "2F0 3F1 4F2 10F3");
    // Of 2: 0.54, 0.98, 1.31, 1.57, 1.75, 1.87, 1.95, 1.98, 2.00 (1.998), 2.
    assert_eq!(run(&quota(0.5), |_, _| 1.0), "3F0 10F1");
    // A share of less than one component is none.
    assert_eq!(run(&quota(0.2), |_, _| 1.0), "");
}

#[test]
fn the_components_that_have_fallen_furthest_from_their_own_peak_go_first() {
    // The first is the quietest, but has not fallen; the last has fallen to a tenth, the third to a half.
    let value = |step: u64, index: usize| {
        let level = [1e-6, 7.0, 5.0, 100.0][index];
        level * if step < 2 { 1.0 } else { [1.0, 0.9, 0.5, 0.1][index] }
    };
    assert_eq!(run(&quota(1.0), value), "2F3 3F2 4F1 10F0");
}

#[test]
fn several_freeze_at_one_check_when_the_allowance_has_grown_by_several() {
    assert_eq!(run(&quota(1.0).with_check_every(4), |_, _| 1.0), "8F0 8F1 8F2");
    assert_eq!(run(&quota(1.0).with_grace(0.5), |_, _| 1.0), "6F0 6F1 6F2 10F3");
}

#[test]
fn what_cools_counts_as_frozen() {
    let config = quota(1.0).with_cooldown(Cooldown::Steps(3));
    // From step 7 on it is the deadline that lets the last one cool.
    assert_eq!(run(&config, |_, _| 1.0), "2C0 3C1 4C2 5F0 6F1 7F2 7C3 10F3");
}

#[test]
fn what_has_no_score_yet_takes_no_place_and_does_not_freeze() {
    // The first two have no gradient at all, or one of zeros; the others fill the allowance.
    let sample = |_, index| match index {
        0 => None,
        1 => Some(ComponentSample::from_gradient(&[0.0])),
        _ => Some(ComponentSample::from_gradient(&[1.0])),
    };
    assert_eq!(events(&mut tracker(&FOUR, &quota(1.0), 10), sample), "2F2 3F3");
    // With a window of 5 checks the first scores come at step 5, when 3 of 4 are allowed.
    let config = FreezingConfig::new(Quota::new(1.0, 5));
    assert_eq!(run(&config, |_, _| 1.0), "5F0 5F1 5F2 10F3");
}

/// The answer to a rank among so many components, so many decided, at a progress in percent.
fn decide(max_share: f64, percent: u64, total: usize, decided: usize, rank: Option<usize>) -> Decision {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let samples = vec![Some(ComponentSample::from_gradient(&[1.0])); total];
    let sample = samples[0].unwrap();
    let observation = Observation::new(&component, &sample)
        .at(percent, 100)
        .ranked(rank)
        .among(Population::new(&samples, decided));
    Quota::new(max_share, 1).decide(&observation)
}

#[test]
fn the_allowance_is_what_is_left_of_the_schedule() {
    struct Case {
        share: f64,
        /// The progress of the run.
        percent: u64,
        /// The components.
        total: usize,
        decided: usize,
        /// The first rank that is kept.
        first_kept: usize,
    }
    let cases = [
        Case { share: 1.0, percent: 50, total: 8, decided: 0, first_kept: 7 }, // ⅞ of 8
        Case { share: 1.0, percent: 50, total: 8, decided: 6, first_kept: 1 },
        Case { share: 1.0, percent: 50, total: 8, decided: 7, first_kept: 0 },
        Case { share: 1.0, percent: 50, total: 8, decided: 8, first_kept: 0 },
        Case { share: 0.8, percent: 50, total: 10, decided: 0, first_kept: 7 }, // ⅞ of 8
        Case { share: 0.5, percent: 100, total: 4, decided: 0, first_kept: 2 },
        Case { share: 0.5, percent: 100, total: 4, decided: 1, first_kept: 1 },
        // 28.999999999999996 in binary.
        Case { share: 0.29, percent: 100, total: 100, decided: 0, first_kept: 29 },
        Case { share: 0.7, percent: 100, total: 10, decided: 0, first_kept: 7 },
        Case { share: 1.0, percent: 100, total: 3, decided: 0, first_kept: 3 },
        Case { share: 1.0, percent: 0, total: 100, decided: 0, first_kept: 0 },
        Case { share: 1.0, percent: 1, total: 100, decided: 0, first_kept: 2 }, // 2.97
    ];
    for Case { share, percent, total, decided, first_kept } in cases {
        for rank in 0..total {
            let decision = decide(share, percent, total, decided, Some(rank));
            let message = format!("rank {rank} of {total}, {decided} decided, {share} at {percent} %");
            assert_eq!(decision.is_freeze(), rank < first_kept, "{message}");
        }
        assert_eq!(decide(share, percent, total, decided, None), Decision::Keep, "without a rank");
    }
}

#[test]
fn its_cause_is_the_rank_and_what_is_left() {
    let cause = Cause::new("quota", Measure::Rank, 2.0, 4.0);
    assert_eq!(decide(1.0, 50, 8, 3, Some(2)), Decision::Freeze(cause));
}

#[test]
fn the_score_is_the_average_over_its_peak() {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let mut policy = Quota::new(1.0, 2);
    let mut score = |value| {
        let sample = ComponentSample::from_gradient(&[value]);
        policy.score(&Observation::new(&component, &sample)).map(|score| score.value)
    };
    assert_eq!(score(4.0), None, "the window is not full");
    assert_eq!(score(4.0), Some(1.0));
    assert_eq!(score(f64::NAN), None);
    // Gains of ½: weighted sums 2, 3, 3/2, 3/4 and weights 1/2, 3/4, 7/8, 15/16.
    assert_close(score(0.0).unwrap(), 3.0 / 7.0);
    assert_close(score(0.0).unwrap(), 0.2);
    let mut silent = Quota::new(1.0, 1);
    let sample = ComponentSample::from_gradient(&[0.0]);
    assert_eq!(silent.score(&Observation::new(&component, &sample)), None);
}

#[test]
fn its_table_is_read_and_its_problems_are_reported() {
    let policy = build("name = \"quota\"\nmax_share = 1").unwrap();
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::GradMeanAbs]));
    assert_eq!(policy.default_cooldown(), Cooldown::Steps(0));
    assert!(policy.is_scale_free());
    for share in ["0", "0.0", "1.01", "2", "-1", "nan", "inf", "\"all\""] {
        let text = problems(&format!("name = \"quota\"\nmax_share = {share}"));
        assert_eq!(text, format!("policy.max_share: expected a share above 0, up to 1, found {share}"));
    }
    let text = problems("name = \"quota\"\nhits = 3");
    assert_eq!(text, "policy.hits: unknown key; known: max_share, window");
}
