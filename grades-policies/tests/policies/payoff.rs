//! `payoff`.

use grades::FreezingConfig;
use grades::policy::{ComponentCost, Cooldown, StepCosts};
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::Payoff;

use crate::support::{build, events, problems, samples, tracker};

const BLOCKS: [&str; 3] =
    ["layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj", "layers.2.self_attn.q_proj"];

fn progress(value: f64) -> Option<ComponentSample> {
    samples(Statistic::Progress, &[value]).next()
}

/// The events of ten checks at which the components have these progresses: an average over 3 checks, then 2 hits.
fn run(
    policy: Payoff,
    costs: Option<StepCosts>,
    value: impl Fn(u64, usize) -> Option<ComponentSample>,
) -> String {
    let config = FreezingConfig::new(policy).with_cooldown(Cooldown::Steps(0));
    let mut tracker = tracker(&BLOCKS, &config, 10);
    if let Some(costs) = costs {
        tracker = tracker.with_costs(costs).unwrap();
    }
    events(&mut tracker, value)
}

fn quarter() -> Payoff {
    Payoff::new(0.25, 1.0, 3, 2)
}

fn constant(values: [f64; 3]) -> impl Fn(u64, usize) -> Option<ComponentSample> {
    move |_, index| progress(values[index])
}

#[test]
fn a_low_block_freezes_where_it_gives_little_for_its_cost() {
    // A step costs 9, the lowest block 2 of them: its backward pass.
    let table = [
        ([1.0, 1.0, 1.0], ""),
        ([0.01, 1.0, 1.0], "4F0"),
        // A quarter of the rate is 0.25 · 2.1 ÷ 9 = 0.0583; times 2 it is above 0.1, and above 0.13 it is not.
        ([0.10, 1.0, 1.0], "4F0"),
        ([0.13, 1.0, 1.0], ""),
        // In the middle a component saves its own product alone: 0.0575 is needed.
        ([1.0, 0.01, 1.0], "4F1"),
        ([1.0, 0.10, 1.0], ""),
        // The top one is no prefix, and all together are never one.
        ([1.0, 1.0, 0.01], "4F2"),
        ([1.0, 1.0, 0.10], ""),
        // Two blocks together: after both a step costs 5 and not 7.
        ([0.05, 0.01, 1.0], "4F0 4F1"),
        // Below 0 it is no progress at all.
        ([-0.5, 2.0, 2.0], "4F0"),
    ];
    for (values, expected) in table {
        assert_eq!(run(quarter(), None, constant(values)), expected, "{values:?}");
    }
}

#[test]
fn with_a_worth_of_one_everything_below_the_average_rate_freezes() {
    // 0.25 of 1.0: the rate is 2.25 ÷ 9, the block costs 2.
    let greedy = || Payoff::new(1.0, 1.0, 3, 2);
    assert_eq!(run(greedy(), None, constant([0.49, 1.0, 1.0])), "4F0");
    assert_eq!(run(greedy(), None, constant([0.70, 1.0, 1.0])), "");
}

#[test]
fn costs_that_are_handed_in_decide() {
    let equal = || ComponentCost { forward: 1.0, input_gradient: 1.0, weight_gradient: 1.0 };
    let costs = || StepCosts::new(vec![equal(); 3], 0.0);
    let between = constant([0.15, 1.0, 1.0]);
    assert_eq!(run(quarter(), Some(costs()), &between), "");
    assert_eq!(
        run(quarter(), Some(costs().with_cached_prefix(true)), &between),
        "4F0",
        "no forward pass either"
    );
    let little = constant([0.10, 1.0, 1.0]);
    assert_eq!(run(quarter(), Some(costs()), &little), "4F0");
    assert_eq!(
        run(quarter(), Some(costs().with_ending_backward(false)), &little),
        "",
        "its inputs need gradients"
    );
    // With much else to pay for, a freeze saves little of the whole.
    assert_eq!(run(quarter(), Some(StepCosts::new(vec![equal(); 3], 9.0)), &little), "");
    let adapters = ComponentCost { weight_gradient: 0.1, ..equal() };
    assert_eq!(run(quarter(), Some(StepCosts::new(vec![adapters; 3], 0.0)), constant([1.0, 0.02, 1.0])), "");
}

#[test]
fn costs_must_fit_the_components() {
    let config = FreezingConfig::new(quarter());
    let error = |costs| tracker(&BLOCKS, &config, 10).with_costs(costs).unwrap_err().to_string();
    let cost = ComponentCost::of_elements(4);
    assert_eq!(
        error(StepCosts::new(vec![cost; 2], 0.0)),
        "costs: expected one of each of the 3 components, found 2"
    );
    assert!(error(StepCosts::new(vec![cost; 3], f64::NAN)).starts_with("costs: expected a finite rest"));
    let wrong = ComponentCost { forward: -1.0, ..cost };
    let text = error(StepCosts::new(vec![cost, wrong, cost], 0.0));
    assert!(
        text.starts_with("costs: expected finite numbers of at least 0") && text.ends_with("component 1"),
        "{text}"
    );
}

#[test]
fn noise_keeps_a_component_that_may_be_worth_its_cost() {
    let noisy = |step: u64, index: usize| {
        let noise = if step.is_multiple_of(2) { 0.5 } else { -0.5 };
        progress(if index == 0 { 0.01 + noise } else { 1.0 })
    };
    assert_eq!(run(quarter(), None, noisy), "");
    // Averages of -0.17 and 0.11, where 0.117 is needed.
    assert_eq!(run(Payoff::new(0.25, 0.0, 3, 2), None, noisy), "4F0", "unless errors do not count");
}

#[test]
fn everything_freezes_once_the_whole_makes_no_progress() {
    let sample = |step: u64, index: usize| {
        let noise = if (step + index as u64).is_multiple_of(2) { 1.0 } else { -1.0 };
        progress(noise)
    };
    assert_eq!(run(quarter(), None, sample), "4F0 4F1 4F2");
    assert_eq!(run(quarter(), None, constant([0.0; 3])), "4F0 4F1 4F2");
}

#[test]
fn nothing_is_decided_before_all_averages_are_known() {
    // The second component has no progress at first, like one that was thawed.
    let late = |step: u64, index: usize| {
        if index == 1 && step <= 3 {
            Some(ComponentSample::new(1))
        } else {
            progress([0.01, 1.0, 1.0][index])
        }
    };
    assert_eq!(run(quarter(), None, late), "7F0");
    // One without a gradient, like an expert that no token chose, is not waited for.
    let absent = |_, index: usize| if index == 1 { None } else { progress([0.01, 1.0, 1.0][index]) };
    assert_eq!(run(quarter(), None, absent), "4F0");
}

#[test]
fn components_of_another_policy_cost_and_are_never_part_of_a_prefix() {
    let document = r#"
        [freezing]
        cooldown = 0
        [freezing.policy]
        name = "per-component-type"
        default = { name = "payoff", window = 3, hits = 2 }
        rules = [{ layers = [0, 0], policy = { name = "quota", max_share = 0.01 } }]
    "#;
    let config = FreezingConfig::from_toml(document).unwrap();
    let mut tracker = tracker(&BLOCKS, &config, 10);
    let sample = |_, index: usize| {
        let gradient = ComponentSample::from_gradient(&[1.0]);
        Some(gradient.with(Statistic::Progress, [0.0, 0.05, 1.0][index]))
    };
    // Alone it needs 0.25 · 1.05 ÷ 9 = 0.029; as a prefix with block 0, twice as much and more.
    assert_eq!(events(&mut tracker, sample), "");
}

#[test]
fn its_table_is_read_and_its_problems_are_reported() {
    let policy = build("name = \"payoff\"\nworth = 1\nz = 2\nwindow = 10\nhits = 3").unwrap();
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::Progress]));
    assert_eq!(policy.default_cooldown(), Cooldown::Share { share: 1.0 });
    assert!(policy.is_scale_free());
    for worth in ["0", "0.0", "1.01", "-1", "nan", "\"all\""] {
        let text = problems(&format!("name = \"payoff\"\nworth = {worth}"));
        assert_eq!(text, format!("policy.worth: expected a share above 0, up to 1, found {worth}"));
    }
    let text = problems("name = \"payoff\"\nprice = 3");
    assert_eq!(text, "policy.price: unknown key; known: worth, z, window, hits");
}
