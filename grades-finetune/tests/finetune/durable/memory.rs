//! Memory over many steps: freezes and checkpoints must not leak.

use std::process::Stdio;

use crate::durable::long_or;
use crate::support::{Folder, PROGRAM};

/// The resident size of a process in KiB; `None` once it has ended.
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn the_resident_size_stays_what_it_is_after_the_first_steps() {
    let steps: usize = long_or(10_000, 1_000);
    let folder = Folder::new();
    let epochs = (steps / 3 + 1).to_string();
    let arguments = [
        "train",
        "--config",
        "base.toml",
        "--epochs",
        &epochs,
        "--lora",
        "--lora-rank",
        "2",
        "--merge-frozen",
        "--save-every",
        "50",
        "--set",
        "freezing.policy={name='quota',max_share=0.6}",
    ];
    let mut command = folder.command(PROGRAM, &arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let log = folder.path("runs/base/steps.jsonl");
    let written = || std::fs::read(&log).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count());
    let mut early = None;
    let mut late = None;
    while child.try_wait().unwrap().is_none() {
        let done = written();
        // The evaluation at the end needs memory of its own.
        if (steps / 5..steps).contains(&done) {
            let now = resident(child.id());
            early = early.or(now);
            late = now.or(late);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    assert!(folder.files("base").freezes().len() > 5);
    let (early, late) = (early.unwrap(), late.unwrap());
    println!("{early} KiB after {} steps, {late} KiB after {steps}", steps / 5);
    // A handle that is left behind at each step, or a copy at each checkpoint, would be more.
    assert!(late < early + 8 * 1024, "{early} KiB after a fifth of {steps} steps, {late} KiB at their end");
}
