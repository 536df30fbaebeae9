//! Measures a training step, and what freezing saves: ours beside tch and PyTorch, interleaved, medians.
//!
//! `make bench` runs it. Each part prints a table and writes `target/bench/PART.json`: a list of rows `{name, ours, other,
//! unit, ratio, target, holds}`. `cargo bench -p grades-tests --bench speed -- PART …` runs some of the parts.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    reason = "a benchmark prints, and one that cannot run says so by ending"
)]

mod cache;
mod many;
mod memory;
mod minilm;
mod python;
mod report;
mod savings;
mod statistics;
mod timing;
mod updates;
mod wrapper;

use report::Report;

type Part = (&'static str, fn(&mut Report));

/// The parts, in their order.
const PARTS: [Part; 7] = [
    ("updates", updates::run),
    ("statistics", statistics::run),
    ("wrapper", wrapper::run),
    ("savings", savings::run),
    ("cache", cache::run),
    ("memory", memory::run),
    ("many", many::run),
];

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [point, settings @ ..] = arguments.as_slice()
        && point == memory::POINT
    {
        return memory::print_peak(settings);
    }
    let known = |name: &String| PARTS.iter().any(|(part, _)| part == name);
    if let Some(unknown) = arguments.iter().find(|name| !known(name)) {
        eprintln!("unknown part \"{unknown}\"; known: {}", PARTS.map(|(part, _)| part).join(", "));
        std::process::exit(2);
    }
    let mut missed = Vec::new();
    for (part, run) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == part) {
            let mut report = Report::new(part);
            run(&mut report);
            missed.extend(report.finish());
        }
    }
    match missed.as_slice() {
        [] => println!("every target holds"),
        missed => println!("missed: {}", missed.join("; ")),
    }
}
