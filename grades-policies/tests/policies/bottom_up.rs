//! `bottom-up`.

use grades::FreezingConfig;
use grades::policy::Cooldown;
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::BottomUp;

use crate::support::{build, events, problems, tracker};

const BLOCKS: [&str; 3] =
    ["layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj", "layers.2.self_attn.q_proj"];

/// The events of intervals of two checks with these norms of the gradients, by component.
fn run(names: &[&str], percentile: f64, intervals: &[&[f64]]) -> String {
    let config = FreezingConfig::new(BottomUp::new(percentile, 2));
    let mut tracker = tracker(names, &config, 2 * intervals.len() as u64);
    events(&mut tracker, |step, index| {
        let norm = intervals[(step - 1) as usize / 2][index];
        // Within an interval the norms differ; their mean counts.
        let norm = if step % 2 == 0 { norm + 0.25 } else { norm - 0.25 };
        Some(ComponentSample::from_gradient(&[norm]))
    })
}

#[test]
fn the_lowest_blocks_freeze_in_order_while_they_change_little() {
    let table: &[(&str, &[&[f64]], &str)] = &[
        ("one interval has nothing before it", &[&[4.0, 4.0, 4.0]], ""),
        ("changes of 0, 0.5 and 0.25: the median is 0.25", &[&[4.0, 4.0, 4.0], &[4.0, 2.0, 3.0]], "4F0"),
        ("the lowest changes most, so nothing freezes", &[&[4.0, 4.0, 4.0], &[1.0, 4.0, 3.0]], ""),
        ("two in order", &[&[4.0, 4.0, 4.0], &[4.0, 4.0, 8.0]], "4F0 4F1"),
        ("the highest block trains to the end", &[&[4.0; 3], &[4.0; 3], &[4.0; 3], &[4.0; 3]], "4F0 4F1"),
        (
            "the second follows when it has become quiet",
            &[&[4.0, 4.0, 4.0], &[4.0, 2.0, 3.0], &[4.0, 2.0, 6.0]],
            "4F0 6F1",
        ),
        ("a gradient that grows changes too", &[&[4.0, 4.0, 4.0], &[9.0, 4.0, 4.5]], ""),
    ];
    for (what, intervals, expected) in table {
        assert_eq!(run(&BLOCKS, 50.0, intervals), *expected, "{what}");
    }
}

#[test]
fn a_percentile_of_0_takes_the_quietest_and_one_of_100_all_but_the_highest() {
    let intervals: &[&[f64]] = &[&[4.0, 4.0, 4.0], &[4.4, 5.0, 4.2]];
    assert_eq!(run(&BLOCKS, 0.0, intervals), "");
    assert_eq!(run(&BLOCKS, 100.0, intervals), "4F0 4F1");
    // Between the changes 0.05 and 0.1: exactly at 50 % of the way, 0.1 of 0.05, 0.1, 0.25.
    assert_eq!(run(&BLOCKS, 49.0, intervals), "");
    assert_eq!(run(&BLOCKS, 51.0, intervals), "4F0");
}

#[test]
fn a_block_has_the_mean_change_of_its_matrices() {
    let names = ["layers.0.mlp.up_proj", "layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj"];
    // Block 0: up and query, in the order of the kinds; query changes by 1, up by 0, block 1 by 0.4 or 0.6.
    let change = |block_1: f64| run(&names, 50.0, &[&[4.0, 4.0, 4.0], &[8.0, 4.0, 4.0 + 4.0 * block_1]]);
    assert_eq!(change(0.4), "");
    assert_eq!(change(0.6), "4F0 4F1");
}

#[test]
fn a_gradient_of_nothing_has_no_change() {
    assert_eq!(run(&BLOCKS, 50.0, &[&[0.25, 0.25, 0.25], &[1.0, 1.0, 1.0]]), "4F0 4F1");
    let config = FreezingConfig::new(BottomUp::new(50.0, 1));
    let mut tracker = tracker(&BLOCKS, &config, 6);
    assert_eq!(events(&mut tracker, |_, _| Some(ComponentSample::from_gradient(&[0.0]))), "");
}

#[test]
fn its_table_is_read_and_its_problems_are_reported() {
    let policy = build("name = \"bottom-up\"\npercentile = 75\nwindow = 10").unwrap();
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::GradL2]));
    assert_eq!(policy.default_cooldown(), Cooldown::Steps(0));
    assert!(policy.is_scale_free());
    for percentile in ["-1", "101", "nan", "\"half\""] {
        let text = problems(&format!("name = \"bottom-up\"\npercentile = {percentile}"));
        assert_eq!(text, format!("policy.percentile: expected a number from 0 to 100, found {percentile}"));
    }
    let text = problems("name = \"bottom-up\"\nhits = 3");
    assert_eq!(text, "policy.hits: unknown key; known: percentile, window");
}
