//! File operations that fail, one at a time, and processes that are killed at one. `faults.c` does it, loaded by LD_PRELOAD.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::durable::broken::{Result, broken_off};
use crate::durable::long_or;
use crate::durable::numbers::Numbers;
use crate::support::{Folder, PROGRAM, Ran};

/// The errors that operations fail with, by their numbers on Linux.
const ERRORS: [(&str, i32); 3] = [("EIO", 5), ("ENOSPC", 28), ("EMFILE", 24)];
/// Compiles the library once; `None` on a machine without a C compiler.
fn library() -> Option<&'static PathBuf> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/finetune/durable/faults.c");
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wno-nonnull-compare", "-o"]).arg(&path);
        match compiler.args([source, "-ldl"]).status() {
            Ok(status) => {
                assert!(status.success(), "faults.c does not compile");
                Some(path)
            }
            Err(error) => {
                eprintln!("skipped: there is no C compiler: {error}");
                None
            }
        }
    };
    LIBRARY.get_or_init(compile).as_ref()
}

/// The operations of a process that fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// The first one, counted from 1; 0: none.
    pub(crate) at: usize,
    /// How many fail, one after the other.
    pub(crate) times: usize,
    /// The error; 0 kills the process.
    pub(crate) error: i32,
}

impl Fault {
    pub(crate) const NONE: Self = Self { at: 0, times: 0, error: 0 };
    /// Kills the process at the first operation.
    pub(crate) const KILL: Self = Self { at: 1, times: 1, error: 0 };
}

/// A run that is disturbed, and the result that it must come to.
pub(crate) struct Scenario {
    folder: Folder,
    arguments: Vec<String>,
    /// `None` before the undisturbed run.
    whole: Option<Result>,
    /// The file operations of an undisturbed process, in the run's folder.
    operations: usize,
    /// Whether each process resumes a run that was broken off, rather than starting one.
    resumes: bool,
}

impl Scenario {
    /// Runs without a disturbance; `None` where the library cannot be made.
    pub(crate) fn new(folder: Folder, arguments: &[&str], resumes: bool) -> Option<Self> {
        library()?;
        let arguments = [&["train", "--config", "base.toml", "--resume", "--quiet"], arguments].concat();
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let mut scenario = Self { folder, arguments, whole: None, operations: 0, resumes: false };
        let ran = scenario.process(Fault::NONE, "whole");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        scenario.whole = Some(Result::of(&scenario.folder, "whole"));
        if resumes {
            scenario.resumes = true;
            scenario.begin();
            let ran = scenario.process(Fault::NONE, "run");
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
        scenario.operations = scenario.folder.text("operations").lines().count();
        assert!(scenario.operations > 20, "{}", scenario.folder.text("operations"));
        Some(scenario)
    }

    pub(crate) fn operations(&self) -> usize {
        self.operations
    }

    /// Removes the disturbed run; one that is to be resumed is made anew, as a kill after step 2 would have left it.
    fn begin(&self) {
        let run = self.folder.path("runs/run");
        if run.exists() {
            std::fs::remove_dir_all(run).unwrap();
        }
        if self.resumes {
            broken_off(&self.folder, "whole", 2, "run");
        }
    }

    /// The program, with operations of a run's folder that fail.
    fn command(&self, fault: Fault, name: &str) -> Command {
        let log = self.folder.path("operations");
        let _ = std::fs::remove_file(&log);
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut command = self.folder.command(PROGRAM, &[&arguments[..], &["--name", name]].concat());
        // The leak check of `make sanitize` is loaded in this way, too.
        let loaded = std::env::var("LD_PRELOAD").unwrap_or_default();
        let library = library().unwrap().display().to_string();
        // As the library sees paths: without links.
        let folder = self.folder.path(".").canonicalize().unwrap().join("runs").join(name);
        command
            .env("LD_PRELOAD", format!("{loaded} {library}").trim())
            .env("FAULT_FOLDER", folder)
            .env("FAULT_LOG", log)
            .env("FAULT_AT", fault.at.to_string())
            .env("FAULT_TIMES", fault.times.to_string())
            .env("FAULT_ERRNO", fault.error.to_string())
            // No other file system may save a model.
            .env("HOME", self.folder.path("."))
            .env("TMPDIR", self.folder.path("."));
        command
    }

    fn process(&self, fault: Fault, name: &str) -> Ran {
        Ran::of(&mut self.command(fault, name))
    }

    /// The operation that failed first.
    fn failed(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path("operations")).unwrap_or_default();
        let line = log.lines().find(|line| line.ends_with(" fails"));
        line.unwrap_or("no operation failed").to_owned()
    }

    /// Disturbs a run, which must end with the whole result, or come to it when it is resumed undisturbed. Returns whether it
    /// was resumed.
    pub(crate) fn survives(&self, fault: Fault) -> bool {
        self.begin();
        let ran = self.process(fault, "run");
        self.comes_to_its_end(&format!("{fault:?}: {}", self.failed()), &ran)
    }

    /// Asserts that the run has the whole result, or comes to it.
    fn comes_to_its_end(&self, what: &str, ran: &Ran) -> bool {
        let what = format!("{what}: {ran:?}");
        let resumed = ran.code != Some(0);
        if resumed {
            assert!(ran.code.is_none() || ran.code == Some(1), "{what}");
            assert!(
                ran.code.is_none() || ran.stderr.contains("error: ") || ran.stderr.contains("warning: "),
                "{what}"
            );
            let again = self.process(Fault::NONE, "run");
            assert_eq!(again.code, Some(0), "{what}: {again:?}");
        }
        Result::of(&self.folder, "run").assert_same(self.whole.as_ref().unwrap(), &what);
        assert_eq!(temporary(&self.folder.path("runs/run")), [""; 0], "{what}: left behind");
        resumed
    }
}

/// The temporary names in a folder and those in it.
fn temporary(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        found.extend(Some(name).filter(|name| name.starts_with('.')));
        if entry.file_type().unwrap().is_dir() {
            found.extend(temporary(&entry.path()));
        }
    }
    found
}

/// A small run with checkpoints of which old ones are removed, evaluations, early stopping and a report.
fn scenario(resumes: bool) -> Option<Scenario> {
    let keep = if resumes { "9" } else { "1" };
    let arguments =
        ["--save-every", "2", "--keep", keep, "--set", "training.eval_every=3", "--early-stopping"];
    Scenario::new(Folder::new(), &arguments, resumes)
}

/// Disturbs every operation, or a few, in each of these ways; says how it went.
fn disturb(what: &str, scenario: &Scenario, errors: &[(&str, i32)], few: usize) {
    let (all, mut numbers) = (scenario.operations(), Numbers::new(3));
    let (mut tried, mut resumed) = (0, 0);
    for &(_, error) in errors {
        let at: Vec<usize> = match long_or(true, false) {
            true => (1..=all).collect(),
            false => (0..few).map(|part| part * all / few + 1 + numbers.below(all / few)).collect(),
        };
        for at in at {
            resumed += usize::from(scenario.survives(Fault { at, times: 1, error }));
            tried += 1;
        }
    }
    println!("{what}: {tried} of {all} operations failed; {resumed} runs were resumed");
}

#[test]
fn an_operation_that_fails_loses_nothing() {
    let Some(scenario) = scenario(false) else { return };
    disturb("a new run", &scenario, &ERRORS, 3);
}

#[test]
fn an_operation_that_fails_in_a_resumed_run_loses_nothing() {
    let Some(scenario) = scenario(true) else { return };
    disturb("a resumed run", &scenario, &ERRORS, 2);
}

#[test]
fn a_kill_at_an_operation_loses_nothing() {
    for resumes in [false, true] {
        let Some(scenario) = scenario(resumes) else { return };
        disturb("killed", &scenario, &[("SIGKILL", Fault::KILL.error)], 4);
    }
}
