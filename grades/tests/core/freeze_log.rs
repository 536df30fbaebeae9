//! `freezes.jsonl`.

use std::io::{self, Write};

use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
use grades::observe::{FreezeLog, StepObserver};
use grades::statistic::{ComponentSample, GradientSnapshot};
use grades::tracker::{FreezeEvent, FreezeTracker, StepReport};
use grades::{FreezingConfig, Result};

use crate::policies::Below;

/// The events when two components, one outside of any block, are quiet at step 2.
fn events() -> Vec<FreezeEvent> {
    let config = ComponentConfig::default()
        .with_pattern("mix\"ed", grades::component::ComponentKind::Adapter)
        .unwrap();
    let parameters = [
        ParameterInfo::new("model.layers.0.self_attn.q_proj.weight", [3, 2]),
        ParameterInfo::new("mix\"ed", [4]),
    ];
    let map = ComponentMap::new(&parameters, &config).unwrap();
    let mut tracker = FreezeTracker::new(map, &FreezingConfig::new(Below::new(2.5)), 9).unwrap();
    let sample = |value| Some(ComponentSample::from_gradient(&[value]));
    assert_eq!(tracker.check(&GradientSnapshot::new(1, vec![sample(0.0), sample(0.0)])).events, []);
    tracker.check(&GradientSnapshot::new(2, vec![sample(0.125), sample(1e-20)])).events
}

fn report(events: Vec<FreezeEvent>) -> StepReport {
    let mut report = StepReport::new(2, 9, 2);
    report.events = events;
    report
}

#[test]
fn each_freeze_is_one_json_line() {
    let mut log = FreezeLog::new("freezes.jsonl", Vec::new());
    log.on_step(&report(events())).unwrap();
    let text = String::from_utf8(log.into_inner()).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"event":"freeze","step":2,"component":"mix\"ed","kind":"adapter","layer":null,"statistic":"grad-l1","value":0.125,"#,
            r#""threshold":2.5,"policy":"below","parameters":4}"#,
            "\n",
            r#"{"event":"freeze","step":2,"component":"model.layers.0.self_attn.q_proj","kind":"query","layer":0,"#,
            r#""statistic":"grad-l1","value":1e-20,"threshold":2.5,"policy":"below","parameters":6}"#,
            "\n",
        )
    );
}

#[test]
fn steps_at_which_nothing_freezes_leave_no_line() {
    let mut log = FreezeLog::new("freezes.jsonl", Vec::new());
    log.on_step(&report(Vec::new())).unwrap();
    log.on_step(&report(events())).unwrap();
    log.on_step(&report(Vec::new())).unwrap();
    assert_eq!(log.into_inner().iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn a_writer_that_fails_is_reported_with_the_files_name() {
    let mut log = FreezeLog::new("runs/7/freezes.jsonl", Failing { on_flush: false });
    log.on_step(&report(Vec::new())).unwrap();
    let error = log.on_step(&report(events())).unwrap_err();
    assert_eq!(error.to_string(), "writing runs/7/freezes.jsonl: the disk is full");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_line_that_stays_in_a_buffer_is_reported_too() {
    let mut log = FreezeLog::new("freezes.jsonl", Failing { on_flush: true });
    let error = log.on_step(&report(events())).unwrap_err();
    assert_eq!(error.to_string(), "writing freezes.jsonl: the disk is full");
}

#[test]
fn a_line_is_written_in_one_piece() {
    let mut log = FreezeLog::new("freezes.jsonl", Pieces::default());
    log.on_step(&report(events())).unwrap();
    let pieces = log.into_inner().0;
    assert_eq!(pieces.len(), 2);
    assert!(pieces.iter().all(|piece| piece.ends_with(b"}\n")));
}

#[test]
fn a_closure_is_an_observer() {
    let mut steps = Vec::new();
    let mut observer = |report: &StepReport| -> Result<()> {
        steps.push((report.step, report.events.len()));
        Ok(())
    };
    observer.on_step(&report(events())).unwrap();
    assert_eq!(steps, [(2, 2)]);
}

/// Fails when written to, or only when flushed.
struct Failing {
    on_flush: bool,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.on_flush { Ok(bytes.len()) } else { Err(io::Error::other("the disk is full")) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::Error::other("the disk is full"))
    }
}

/// Keeps what each call wrote.
#[derive(Default)]
struct Pieces(Vec<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
