//! A run's savings by freezing, in a sentence.

use super::numbers::flop_unit;
use super::summary::{FlopCounts, StepCounts, Summary};

/// Says in one sentence what freezing saved in a run, and what it could not save.
///
/// Operations are compared with those of the same steps without freezing; steps that were not run are named apart.
pub fn freezing_sentence(summary: &Summary) -> String {
    let StepCounts { steps, planned_steps: planned, .. } = summary.steps;
    let Some(first) = summary.freezing.first_freeze else {
        let total = summary.freezing.components_total;
        return format!("Freezing saved nothing: none of {total} components froze in {steps} steps.");
    };
    let FlopCounts { flops, flops_without_freezing: without, .. } = summary.flops;
    let fewer = if summary.ended.is_by_freezing() { planned.saturating_sub(steps) } else { 0 };
    let ended = format!("it ended the run {fewer} of {planned} steps early");
    let saved = without.saturating_sub(flops);
    if saved == 0 {
        let late =
            format!("the first component froze at step {first} of {steps}, too late for cheaper steps");
        return match fewer {
            0 => format!("Freezing saved nothing: {late}."),
            _ => format!("Freezing made no step cheaper ({late}), but {ended}."),
        };
    }
    let (unit, size) = flop_unit(without as f64);
    let share = 100.0 * saved as f64 / without as f64;
    let cheaper = format!(
        "Freezing removed {share:.1} % of the operations of {steps} steps ({} of {} {unit})",
        short(saved as f64 / size),
        short(without as f64 / size)
    );
    let fewer = if fewer == 0 { String::new() } else { format!(", and {ended}") };
    format!(
        "{cheaper}{fewer}; it could not remove forward passes, the gradients on their way to what still trained, nor anything \
         before the first freeze at step {first}."
    )
}

/// Writes three significant digits.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(ended: &str, steps: u64, first: Option<u64>, saved: u64) -> String {
        let mut summary: Summary = serde_json::from_value(serde_json::json!({"ended": ended})).unwrap();
        summary.steps = StepCounts { steps, planned_steps: 100, ..StepCounts::default() };
        summary.freezing.components_total = 36;
        summary.freezing.first_freeze = first;
        summary.flops.flops_without_freezing = 532_000_000_000;
        summary.flops.flops = 532_000_000_000 - u128::from(saved);
        freezing_sentence(&summary)
    }

    #[test]
    fn it_says_what_was_saved_and_what_was_not() {
        assert_eq!(
            sentence("all-steps", 100, None, 0),
            "Freezing saved nothing: none of 36 components froze in 100 steps."
        );
        assert_eq!(
            sentence("all-frozen", 100, Some(100), 0),
            "Freezing saved nothing: the first component froze at step 100 of 100, too late for cheaper steps."
        );
        assert_eq!(
            sentence("all-frozen", 80, Some(80), 0),
            "Freezing made no step cheaper (the first component froze at step 80 of 80, too late for cheaper steps), but it \
             ended the run 20 of 100 steps early."
        );
        assert_eq!(
            sentence("enough-frozen", 90, Some(60), 21_800_000_000),
            "Freezing removed 4.1 % of the operations of 90 steps (21.8 of 532 GFLOP), and it ended the run 10 of 100 steps \
             early; it could not remove forward passes, the gradients on their way to what still trained, nor anything before \
             the first freeze at step 60."
        );
    }
}
