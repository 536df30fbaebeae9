//! The peak of memory in training steps as components freeze, each in a process of its own.

use std::process::Command;

use crate::minilm::{Run, chosen, components};
use crate::report::Report;

/// The argument by which this program is asked for one peak.
pub(crate) const POINT: &str = "peak-of";

pub(crate) fn run(report: &mut Report) {
    for (way, from_below) in [("at random", false), ("from the bottom up", true)] {
        let points = [0, 25, 50, 75, 100].map(|percent| (percent, peak(percent, from_below)));
        let (_, (whole, base)) = points[0];
        for (percent, (peak, held)) in points {
            // What is held between steps falls by what the wrapper counts; saved activations come on top.
            let predicted = whole - (base - held);
            let label = format!("MiniLM, peak, {percent} % frozen {way}");
            report.row(&label, peak, ("predicted", predicted), "MiB", Some(1.05));
        }
    }
}

/// The peak of resident memory, and what the wrapper counts, in MiB.
fn peak(percent: usize, from_below: bool) -> (f64, f64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([POINT, &percent.to_string(), &from_below.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [peak, held] = numbers[..] else { panic!("no peak in \"{text}\"") };
    (peak, held)
}

/// Prints the peak for these settings.
pub(crate) fn print_peak(settings: &[String]) {
    let [percent, from_below] = settings else { panic!("expected a share and an order, found {settings:?}") };
    let from_below = from_below.parse().unwrap();
    let all = components();
    let mut run = Run::frozen(chosen(&all, percent.parse().unwrap(), from_below), from_below);
    // The peak so far is forgotten: loading and the first steps, in which all train.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    for _ in 0..3 {
        run.step();
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let held = run.optimizer.memory().total() as f64 / (1 << 20) as f64;
    println!("{} {held}", kibibytes / 1024.0);
}
