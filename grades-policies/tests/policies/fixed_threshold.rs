//! `fixed-threshold`: the paper's rule.

use grades::policy::{Cause, Decision};
use grades::statistic::{Statistic, StatisticSet};
use grades_policies::FixedThreshold;

use crate::support::{build, decisions, letters, problems};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

#[test]
fn it_freezes_below_tau_and_nowhere_else() {
    struct Case {
        /// The gradient of one number at each check.
        seen: &'static [f64],
        /// A letter for each check.
        gives: &'static str,
        why: &'static str,
    }
    let cases = [
        Case { seen: &[3.0, 2.0, 1.0, 0.9], gives: "...F", why: "the first below" },
        Case { seen: &[0.9, 2.0, 0.9], gives: "F.F", why: "it has no memory" },
        Case { seen: &[-0.9, -1.1], gives: "F.", why: "the norm counts, not the sign" },
        Case { seen: &[1.0, 1.0 - f64::EPSILON], gives: ".F", why: "equal is not below" },
        Case { seen: &[0.0, -0.0, f64::MIN_POSITIVE], gives: "FFF", why: "no gradient at all is below" },
        Case { seen: &[NAN, INF, -INF], gives: "...", why: "what is not finite is not below" },
        Case { seen: &[0.5, NAN, 0.5], gives: "F.F", why: "nor does it matter afterwards" },
    ];
    for Case { seen, gives, why } in cases {
        let mut policy = FixedThreshold::new(Statistic::GradL1, 1.0);
        assert_eq!(letters(&mut policy, seen), gives, "{why}");
    }
}

#[test]
fn it_compares_the_metric_that_it_was_given() {
    use grades::component::{Component, ComponentKind};
    use grades::policy::{FreezePolicy, Observation};
    use grades::statistic::ComponentSample;
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 4);
    let sample = ComponentSample::from_gradient(&[3.0, -4.0, 0.0, 0.0]);
    let values = [
        (Statistic::GradL1, 7.0),
        (Statistic::GradMeanAbs, 1.75),
        (Statistic::GradL2, 5.0),
        (Statistic::GradRms, 2.5),
    ];
    for (metric, value) in values {
        let decide = |tau| FixedThreshold::new(metric, tau).decide(&Observation::new(&component, &sample));
        assert_eq!(decide(value), Decision::Keep, "{metric}");
        let threshold = value + 0.01;
        let cause = Cause::new("fixed-threshold", metric, value, threshold);
        assert_eq!(decide(threshold), Decision::Freeze(cause), "{metric}");
        assert_eq!(FixedThreshold::new(metric, 1.0).statistics(), StatisticSet::of([metric]));
    }
}

#[test]
fn a_statistic_that_was_not_measured_keeps() {
    use grades::component::{Component, ComponentKind};
    use grades::policy::{FreezePolicy, Observation};
    use grades::statistic::ComponentSample;
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 4);
    let sample = ComponentSample::new(4).with(Statistic::GradL2, 0.0);
    let mut policy = FixedThreshold::new(Statistic::GradL1, 1.0);
    assert_eq!(policy.decide(&Observation::new(&component, &sample)), Decision::Keep);
}

#[test]
fn its_table_is_read() {
    let mut policy = build("name = \"fixed-threshold\"\ntau = 2").unwrap();
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::GradL1]), "the run's metric");
    let cause = Cause::new("fixed-threshold", Statistic::GradL1, 1.5, 2.0);
    assert_eq!(decisions(&mut *policy, &[1.5]), [Decision::Freeze(cause)]);
    let policy = build("name = \"fixed-threshold\"\ntau = 2.5\nmetric = \"grad-rms\"").unwrap();
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::GradRms]));
    assert!(!policy.is_scale_free());
}

#[test]
fn its_tables_problems_are_reported() {
    for tau in ["0", "-1.0", "nan", "inf", "\"1\""] {
        let text = problems(&format!("name = \"fixed-threshold\"\ntau = {tau}"));
        assert!(text.starts_with("policy.tau: expected a number above 0, found "), "{text}");
    }
    let text = problems("name = \"fixed-threshold\"\nmetric = \"grad-l3\"\nthreshold = 1");
    assert!(text.starts_with("3 problems:"), "{text}");
    assert!(text.contains("policy.threshold: unknown key; known: tau, metric"), "{text}");
    assert!(text.contains("policy.tau: is missing"), "{text}");
    assert!(
        text.contains("policy.metric: unknown statistic \"grad-l3\" (did you mean \"grad-l1\"?)"),
        "{text}"
    );
}
