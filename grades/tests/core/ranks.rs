//! Scores, ranks and the learning rate: what a policy is told beside the statistics.

use grades::FreezingConfig;
use grades::policy::Cooldown;
use grades::statistic::GradientSnapshot;

use crate::cooldown::step;
use crate::policies::Scripted;
use crate::tracker::{sample, snapshot, tracker};

/// The ranks that the policies were told, by layer.
fn ranks(questions: &[String]) -> Vec<String> {
    let decided = questions.iter().filter(|question| question.starts_with("decide"));
    let short = |question: &String| {
        let layer = question.split(" of ").nth(1).unwrap().split(',').next().unwrap();
        let rank = question.split("rank ").nth(1).unwrap();
        format!("{layer}: {}", rank.replace("Some(", "").replace(')', ""))
    };
    decided.map(short).collect()
}

#[test]
fn all_scores_are_asked_before_the_first_decision_and_with_the_learning_rate() {
    let policy = Scripted::default();
    let questions = policy.questions.clone();
    let mut tracker = tracker(2, &FreezingConfig::new(policy), 100);
    tracker.check(&snapshot(1, &[6.0, 5.0]).with_learning_rate(Some(0.5)));
    let expected = [
        "score 1 of 0, lr Some(0.5), rank None",
        "score 1 of 1, lr Some(0.5), rank None",
        "decide 1 of 0, lr Some(0.5), rank Some(1)",
        "decide 1 of 1, lr Some(0.5), rank Some(0)",
    ];
    assert_eq!(questions.take(), expected);
    tracker.check(&snapshot(2, &[6.0, 5.0]));
    assert!(questions.take().iter().all(|question| question.contains("lr None")));
}

#[test]
fn ranks_count_the_lower_scores_and_ties_go_by_position() {
    // 7 stands for no score, 8 for one that is no number.
    let cases: [(&[f64], &[&str]); 4] = [
        (&[4.0, 2.0, 3.0], &["0: 2", "1: 0", "2: 1"]),
        (&[2.0, 2.0, 1.0, 2.0], &["0: 1", "1: 2", "2: 0", "3: 3"]),
        (&[9.0, 7.0, 2.0, 8.0], &["0: 1", "1: None", "2: 0", "3: None"]),
        (&[f64::NAN, 3.0, f64::INFINITY, 2.0], &["1: 1", "3: 0"]),
    ];
    for (values, expected) in cases {
        let policy = Scripted::default();
        let questions = policy.questions.clone();
        let mut tracker = tracker(values.len(), &FreezingConfig::new(policy), 100);
        tracker.check(&snapshot(1, values));
        assert_eq!(ranks(&questions.take()), expected, "{values:?}");
    }
}

#[test]
fn what_cools_is_frozen_or_has_no_gradient_takes_no_rank() {
    let policy = Scripted { cooldown: Cooldown::Steps(2), ..Scripted::thawing_after(50) };
    let questions = policy.questions.clone();
    let mut tracker = tracker(4, &FreezingConfig::new(policy), 100);
    let mut seen = Vec::new();
    for at in 1..=5 {
        let values = vec![sample(0.5), sample(3.0), (at != 3).then(|| sample(2.0).unwrap()), sample(4.0)];
        step(&mut tracker, &GradientSnapshot::new(at, values));
        seen.push(ranks(&questions.take()).join(" "));
    }
    let expected = [
        "0: 0 1: 2 2: 1 3: 3",
        "0: 0 1: 2 2: 1 3: 3",
        "1: 0 3: 1",      // 0 cools, 2 has no gradient
        "1: 1 2: 0 3: 2", // 0 is frozen
        "1: 1 2: 0 3: 2",
    ];
    assert_eq!(seen, expected);
}
