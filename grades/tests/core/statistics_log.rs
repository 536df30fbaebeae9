//! `statistics.jsonl`.

use std::io::{self, Write};

use grades::component::{Component, ComponentKind};
use grades::observe::{StatisticsLog, StepObserver};
use grades::policy::Cause;
use grades::statistic::Statistic;
use grades::tracker::{Checked, StepReport};

fn components() -> [Component; 3] {
    [
        Component::detached("a\"b", ComponentKind::Query, Some(0), 6),
        Component::detached("c", ComponentKind::Up, Some(1), 8),
        Component::detached("head", ComponentKind::Head, None, 2),
    ]
}

fn cause(policy: &'static str, value: f64, threshold: f64) -> Option<Cause> {
    Some(Cause::new(policy, Statistic::GradL1, value, threshold))
}

fn report(step: u64, compared: Vec<Option<Cause>>) -> StepReport {
    let mut report = StepReport::new(step, 100, 3);
    let mut checked = Checked::new(step);
    checked.compared = compared;
    report.checked = Some(checked);
    report
}

fn lines(reports: &[StepReport]) -> Vec<String> {
    let mut log = StatisticsLog::start("statistics.jsonl", Vec::new(), &components()).unwrap();
    for report in reports {
        log.on_step(report).unwrap();
    }
    let text = String::from_utf8(log.into_inner()).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn the_first_line_names_the_components() {
    let log = StatisticsLog::start("statistics.jsonl", Vec::new(), &components()).unwrap();
    assert_eq!(
        String::from_utf8(log.into_inner()).unwrap(),
        concat!(
            r#"{"components":[{"name":"a\"b","kind":"query","layer":0,"parameters":6},"#,
            r#"{"name":"c","kind":"up","layer":1,"parameters":8},"#,
            r#"{"name":"head","kind":"head","layer":null,"parameters":2}]}"#,
            "\n"
        )
    );
}

#[test]
fn a_check_is_one_line_with_a_common_threshold() {
    let written = lines(&[report(7, vec![cause("p", 0.123456789, 0.5), None, cause("p", 2e-9, 0.5)])]);
    assert_eq!(
        written,
        [r#"{"step":7,"policy":"p","statistic":"grad-l1","threshold":0.5,"values":[0.123457,null,2e-9]}"#]
    );
}

#[test]
fn thresholds_that_differ_are_a_list() {
    let written = lines(&[report(7, vec![cause("p", 1.0, 0.5), None, cause("p", 2.0, 0.25)])]);
    assert!(written[0].contains(r#""threshold":[0.5,null,0.25],"values":[1.0,null,2.0]"#), "{written:?}");
}

#[test]
fn each_policy_has_a_line_of_its_own() {
    let written =
        lines(&[report(7, vec![cause("p", 1.0, 0.5), cause("q", 3.0, f64::NAN), cause("p", 2.0, 0.5)])]);
    assert_eq!(
        written,
        [
            r#"{"step":7,"policy":"p","statistic":"grad-l1","threshold":0.5,"values":[1.0,null,2.0]}"#,
            r#"{"step":7,"policy":"q","statistic":"grad-l1","threshold":null,"values":[null,3.0,null]}"#,
        ]
    );
}

#[test]
fn steps_at_which_nothing_was_compared_leave_no_line() {
    assert_eq!(lines(&[report(1, vec![]), report(2, vec![None, None, None])]), [""; 0]);
}

#[test]
fn the_step_is_that_of_the_statistics() {
    let mut late = StepReport::new(8, 100, 3);
    late.checked = report(7, vec![cause("p", 1.0, 0.5), None, None]).checked;
    assert!(lines(&[late])[0].starts_with(r#"{"step":7,"#));
}

#[test]
fn a_writer_that_fails_is_reported_with_the_files_name() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut log = StatisticsLog::resume("runs/7/statistics.jsonl", Full);
    log.on_step(&report(1, vec![])).unwrap();
    let error = log.on_step(&report(1, vec![cause("p", 1.0, 0.5)])).unwrap_err();
    assert_eq!(error.to_string(), "writing runs/7/statistics.jsonl: the disk is full");
    let error = StatisticsLog::start("s", Full, &components()).unwrap_err();
    assert_eq!(error.to_string(), "writing s: the disk is full");
}
