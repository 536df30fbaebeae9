//! Budgets: freezes planned for a share of the full run's cost.

use grades::FreezingConfig;
use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
use grades::policy::{ComponentCost, Never, Peers, StepCosts};
use grades::statistic::Statistic;
use grades::tracker::{BudgetPlan, FreezeTracker, Transition};
use proptest::prelude::*;

/// The components of a model with two matrices in each block and a head.
fn map(blocks: usize) -> ComponentMap {
    let matrix =
        |layer: usize, name: &str| ParameterInfo::new(format!("model.layers.{layer}.{name}.weight"), [4, 4]);
    let names = ["self_attn.q_proj", "mlp.up_proj"];
    let infos: Vec<ParameterInfo> =
        (0..blocks).flat_map(|layer| names.map(|name| matrix(layer, name))).collect();
    ComponentMap::new(&infos, &ComponentConfig::default()).unwrap()
}

fn config(budget: f64, warmup: u64) -> FreezingConfig {
    FreezingConfig::new(Never).with_budget(budget).with_warmup_steps(warmup)
}

fn problem(table: &str) -> String {
    FreezingConfig::from_toml(&format!("[freezing]\n{table}")).unwrap_err().to_string()
}

/// Runs a tracker to its end; returns the share of the full run's cost and the last step.
fn cost_of_run(tracker: &mut FreezeTracker, costs: &StepCosts) -> (f64, u64) {
    let components = tracker.components().to_vec();
    let none = vec![None; components.len()];
    let cost =
        |trains: &[bool]| Peers::new(Statistic::GradL1, &components, &none, trains, costs).cost_from(0);
    let full = cost(&vec![true; components.len()]) * tracker.total_steps() as f64;
    let (mut spent, mut step) = (0.0, 0);
    while step < tracker.total_steps() && !tracker.should_stop() {
        step += 1;
        let trains: Vec<bool> = (0..components.len()).map(|index| !tracker.is_frozen(index)).collect();
        spent += cost(&trains);
        tracker.finish_cooling(step);
    }
    (spent / full, step)
}

#[test]
fn a_single_block_cools_halfway_to_the_last_step_that_the_budget_pays_for() {
    let mut tracker = FreezeTracker::new(map(1), &config(0.6, 10), 100).unwrap();
    let plan = tracker.budget_plan().unwrap().clone();
    assert_eq!((plan.last_step(), plan.cost()), (60, 0.6));
    let line =
        "60 % of the full run's cost: all components cool from step 30 and are frozen at step 60 of 100";
    assert_eq!(plan.to_string(), line);
    assert!(tracker.cools() && !tracker.is_due(30));
    let mut seen = Vec::new();
    for step in 1..=60 {
        seen.extend(tracker.finish_cooling(step).into_iter().map(|event| (step, event.event, event.policy)));
        let half = 1.0 - (step as f64 - 30.0).max(0.0) / 31.0;
        assert!((tracker.learning_rate_factor(0, step) - half).abs() < 0.04 || step == 60, "{step}");
    }
    let expected = |step, event| vec![(step, event, "budget".into()); 2];
    assert_eq!(seen, [expected(30, Transition::Cool), expected(60, Transition::Freeze)].concat());
    assert!(tracker.should_stop());
}

#[test]
fn blocks_freeze_from_the_bottom_up_where_the_backward_pass_ends_with_them() {
    let steps = |budget: f64, warmup: u64, costs: &StepCosts| {
        let map = map(3);
        let plan = BudgetPlan::new(budget, 300, warmup, map.components(), costs).unwrap();
        plan.freezes()
            .iter()
            .step_by(2)
            .map(|freeze| (freeze.cools_from, freeze.frozen_at))
            .collect::<Vec<_>>()
    };
    let costs = StepCosts::by_elements(map(3).components());
    // Without the lowest block a step costs 7 ninths, without the two lowest 5: 126 + 42 · 7 ÷ 9 + 42 · 5 ÷ 9 = 182 steps.
    assert_eq!(steps(182.0 / 300.0, 10, &costs), [(63, 126), (84, 168), (105, 210)]);
    // A tied matrix keeps the backward pass whole, so the same budget ends sooner.
    let tied = costs.clone().with_ending_backward(false);
    let (ends, whole) = (steps(0.5, 10, &costs)[2].1, steps(0.5, 10, &tied)[2].1);
    assert!(whole < ends, "{whole} and {ends}");
    // Where the warm-up leaves no room all freeze together, and where the budget is ample the lowest train for longer.
    assert_eq!(steps(0.2, 30, &costs), [(30, 60); 3]);
    assert_eq!(steps(1.0, 30, &costs), [(150, 300); 3]);
    let ample = steps(0.95, 10, &costs);
    assert!(ample[0].1 > 180 && ample[2].1 == 300, "{ample:?}");
}

#[test]
fn a_budget_that_cannot_be_met_names_the_least() {
    let error = FreezeTracker::new(map(2), &config(0.1, 10), 100).unwrap_err().to_string();
    let expected = "budget: 0.1 cannot be met: the least is 0.200, with 20 of 100 steps (10 of warm-up, and as many that \
                    cool); raise the budget, or shorten the warm-up";
    assert_eq!(error, expected);
    let error = FreezeTracker::new(map(2), &config(0.9, 60), 100).unwrap_err().to_string();
    assert!(
        error.starts_with("budget: a run of 100 steps is too short for it: 60 steps of warm-up"),
        "{error}"
    );
    assert_eq!(problem("budget = 0"), "freezing.budget: expected a share above 0, up to 1, found 0");
}

#[test]
fn a_budget_stands_for_the_keys_that_it_plans() {
    for (key, value) in
        [("policy", "{ name = \"below\", tau = 1 }"), ("grace", "0.1"), ("cooldown", "3"), ("stop_at", "1.0")]
    {
        let text = problem(&format!("budget = 0.5\n{key} = {value}"));
        assert_eq!(text, format!("freezing.budget: plans the freezes itself: remove freezing.{key}"));
    }
    let config = FreezingConfig::from_toml("[freezing]\nbudget = 0.5\ncooling = \"average\"").unwrap();
    assert!(config.cools() && config.budget() == Some(0.5));
    // What is in force can be read again.
    let table = config.settings();
    let again = FreezingConfig::from_table("freezing", &table).unwrap();
    assert_eq!((again.budget(), again.settings()), (Some(0.5), table));
}

#[test]
fn a_restored_tracker_goes_on_with_the_plan_and_refuses_another() {
    let mut whole = FreezeTracker::new(map(3), &config(0.5, 5), 80).unwrap();
    let mut half = whole.clone();
    for step in 1..=30 {
        whole.finish_cooling(step);
        half.finish_cooling(step);
    }
    let state = half.state().unwrap();
    let mut restored = FreezeTracker::new(map(3), &config(0.5, 5), 80).unwrap();
    restored.restore(&state).unwrap();
    let last = whole.budget_plan().unwrap().last_step();
    for step in 31..=last {
        assert_eq!(restored.finish_cooling(step), whole.finish_cooling(step));
    }
    assert!(restored.should_stop());
    let mut other = FreezeTracker::new(map(3), &config(0.6, 5), 80).unwrap();
    let error = other.restore(&state).unwrap_err().to_string();
    assert!(error.contains("budget was 0.5 when it was saved and is 0.6 here"), "{error}");
}

fn costs(blocks: usize) -> impl Strategy<Value = StepCosts> {
    let product = || 0.0..100.0f64;
    let one = (product(), product(), product());
    let all = proptest::collection::vec(one, 2 * blocks);
    (all, 0.0..500.0f64, any::<bool>()).prop_map(|(all, rest, ends)| {
        let cost = |(forward, input_gradient, weight_gradient)| ComponentCost {
            forward,
            input_gradient,
            weight_gradient,
        };
        StepCosts::new(all.into_iter().map(cost).collect(), rest + 1.0).with_ending_backward(ends)
    })
}

proptest! {
    #[test]
    fn a_run_costs_its_budget_or_is_refused_with_the_least(
        (blocks, costs) in (1usize..6).prop_flat_map(|blocks| (Just(blocks), costs(blocks))),
        budget in 0.01..=1.0f64,
        total in 1u64..400,
        warmup in 0u64..60,
    ) {
        let map = map(blocks);
        let plan = BudgetPlan::new(budget, total, warmup, map.components(), &costs);
        let tracker = FreezeTracker::new(map, &config(budget, warmup), total).and_then(|tracker| tracker.with_costs(costs.clone()));
        match (plan, tracker) {
            (Ok(plan), Ok(mut tracker)) => {
                prop_assert_eq!(Some(&plan), tracker.budget_plan());
                let (cost, last) = cost_of_run(&mut tracker, &costs);
                prop_assert!((cost - plan.cost()).abs() < 1e-9, "{} planned, {} spent", plan.cost(), cost);
                prop_assert!((cost - budget).abs() <= 1.0 / total as f64 + 1e-9, "{} of {}", cost, budget);
                prop_assert_eq!(last, plan.last_step());
                for freeze in plan.freezes() {
                    prop_assert!(warmup <= freeze.cools_from && freeze.cools_from <= freeze.frozen_at);
                    prop_assert!(freeze.frozen_at <= total);
                }
            }
            (Err(error), Err(_)) => {
                let short = 2 * warmup.max(1) > total;
                prop_assert!(short || budget < 2.0 * warmup.max(1) as f64 / total as f64, "{}", error);
            }
            (plan, tracker) => prop_assert!(false, "{:?}, {:?}", plan, tracker.map(|_| ())),
        }
    }
}
