//! Starts ranks: processes of this test program that run one test's body.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use grades::distributed::{Backend, Group, Ranks};

/// The directory in which a rank leaves its result; set in ranks only.
pub(crate) const RESULTS: &str = "GRADES_TEST_RESULTS";

/// The time after which ranks that still run are killed.
const LIMIT: Duration = Duration::from_secs(60);

/// The end of a rank.
#[derive(Debug)]
pub(crate) struct End {
    /// The text that its body returned; `None` when it ended in another way.
    pub(crate) result: Option<String>,
    /// The time from the start of all ranks.
    pub(crate) after: Duration,
    output: String,
}

impl End {
    /// Returns the result, or fails with the rank's output.
    pub(crate) fn result(&self) -> &str {
        self.result.as_deref().unwrap_or_else(|| panic!("a rank failed:\n{}", self.output))
    }
}

/// Ranks to start.
pub(crate) struct Start {
    /// The ranks that are started, of `world`.
    pub(crate) started: Vec<usize>,
    pub(crate) world: usize,
    /// Further variables.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Start {
    /// All ranks of a world, which find each other through a file.
    pub(crate) fn all(world: usize) -> Self {
        Self { started: (0..world).collect(), world, variables: Vec::new() }
    }
}

/// Runs `body` in `world` processes; see [`run`].
pub(crate) fn in_ranks(world: usize, test: &str, body: impl Fn(&Group) -> String) -> Vec<End> {
    run(&Start::all(world), test, |ranks| body(&join(ranks)))
}

/// Runs `body` in processes of this program, each of which runs the same test and gets to this same call.
///
/// `test` is the value of [`name!`](crate::name). In a rank the call does not return.
pub(crate) fn run(start: &Start, test: &str, body: impl Fn(&Ranks) -> String) -> Vec<End> {
    if let Some(results) = std::env::var_os(RESULTS) {
        let ranks = Ranks::from_env().unwrap().unwrap();
        tch::set_num_threads(1);
        let result = body(&ranks);
        std::fs::write(Path::new(&results).join(ranks.rank.to_string()), result).unwrap();
        std::process::exit(0);
    }
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let ranks: Vec<(usize, Child)> =
        start.started.iter().map(|rank| (*rank, spawn(start, *rank, test, folder.path()))).collect();
    std::thread::scope(|scope| {
        let ends: Vec<_> =
            ranks.into_iter().map(|(rank, child)| scope.spawn(move || (rank, wait(child, begun)))).collect();
        let ends = ends.into_iter().map(|end| end.join().unwrap());
        ends.map(|(rank, (after, output))| {
            let result = std::fs::read_to_string(folder.path().join(rank.to_string())).ok();
            End { result, after, output }
        })
        .collect()
    })
}

/// Joins the group of all ranks, with a short timeout.
pub(crate) fn join(ranks: &Ranks) -> Group {
    Group::join(ranks, Backend::Gloo, Duration::from_secs(30)).unwrap()
}

fn spawn(start: &Start, rank: usize, test: &str, folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    for (name, value) in [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", start.world)] {
        command.env(name, value.to_string());
    }
    command.env("GRADES_STORE", folder.join("store")).env(RESULTS, folder);
    command.env("GLOO_SOCKET_IFNAME", "lo").env("OMP_NUM_THREADS", "1").env("TORCH_CPP_LOG_LEVEL", "FATAL");
    for (name, value) in &start.variables {
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a rank; returns the time of its end and its output.
fn wait(mut child: Child, begun: Instant) -> (Duration, String) {
    let pid = child.id();
    let after = loop {
        if child.try_wait().unwrap().is_some() {
            break begun.elapsed();
        }
        // A stopped process is one that a test stopped; it never ends by itself.
        let stopped = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        };
        let over = begun.elapsed() > LIMIT;
        if over || (begun.elapsed() > Duration::from_secs(12) && stopped()) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (after, format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

/// Sends a signal to this process.
pub(crate) fn signal(name: &str) {
    let id = std::process::id().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    // A stopped process goes on here only when it is killed.
    std::thread::sleep(Duration::from_secs(60));
}

/// The name of the test that it is used in, as the test harness has it.
#[macro_export]
macro_rules! name {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here);
        let name = name.strip_suffix("::here").unwrap();
        name.split_once("::").unwrap().1
    }};
}
