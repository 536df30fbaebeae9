//! Trying many files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Once;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::mutate::{Numbers, mutate};

/// Tries `long` damaged copies of the seeds, or `short` where the long forms are not asked for.
///
/// `read` gets the bytes and gives the message of the refusal, or `None` when it has read them.
pub(crate) fn fuzz(
    name: &str,
    counts: (u64, u64),
    seeds: &[Vec<u8>],
    words: &[&str],
    mut read: impl FnMut(&[u8]) -> Option<String>,
) {
    limit_memory();
    for (index, seed) in seeds.iter().enumerate() {
        assert_eq!(read(seed), None, "{name}: seed {index} is sound");
    }
    fuzz_made(name, counts, |numbers| mutate(&seeds[numbers.below(seeds.len())], words, numbers), read);
}

/// Tries `long` files that a function makes of numbers, or `short`. Each is written down before it is tried, so that it is
/// there when the process ends with it.
pub(crate) fn fuzz_made(
    name: &str,
    (short, long): (u64, u64),
    mut make: impl FnMut(&mut Numbers) -> Vec<u8>,
    mut read: impl FnMut(&[u8]) -> Option<String>,
) {
    limit_memory();
    let kept = |end: &str| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{end}"));
    let cases = if std::env::var_os("GRADES_TORTURE").is_some() { long } else { short };
    let mut stream =
        std::env::var("GRADES_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
    stream = name.bytes().fold(stream, |stream, byte| stream.wrapping_mul(31).wrapping_add(byte.into()));
    let mut numbers = Numbers(stream);
    let mut failures = Vec::new();
    let (mut read_well, mut slowest) = (0u64, 0);
    let start = std::time::Instant::now();
    for case in 0..cases {
        let bytes = make(&mut numbers);
        std::fs::write(kept("current"), &bytes).unwrap();
        let begun = std::time::Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        let lasted = begun.elapsed().as_millis();
        if lasted > slowest.max(2000) {
            std::fs::write(kept("slowest"), &bytes).unwrap();
        }
        slowest = lasted.max(slowest);
        let reason = match done {
            Ok(None) => {
                read_well += 1;
                None
            }
            // libtorch tells of memory that it does not get in an error, Rust would abort.
            Ok(Some(message)) if message.contains("allocate") || message.contains("enough memory") => {
                Some(message)
            }
            Ok(Some(_)) => None,
            Err(_) => Some("a panic".to_owned()),
        };
        if let Some(reason) = reason {
            let path = kept(&case.to_string());
            std::fs::write(&path, &bytes).unwrap();
            failures.push(format!("{}: {reason}", path.display()));
            assert!(failures.len() < 5, "{name}: {failures:#?}");
        }
    }
    let seconds = start.elapsed().as_secs();
    println!(
        "{name}: {cases} files tried in {seconds} s, {read_well} of them were still read, the slowest took {slowest} ms"
    );
    assert!(failures.is_empty(), "{name}: {failures:#?}");
    let _ = std::fs::remove_file(kept("current"));
}

/// Limits memory to the need of libtorch and the test, and two GiB.
fn limit_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // libtorch takes its share of addresses when it is first used.
        let _ = tch::Tensor::zeros([1], (tch::Kind::Float, tch::Device::Cpu));
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let size: u64 = line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap();
        let most = size * 1024 + (2 << 30);
        let Rlimit { maximum, .. } = getrlimit(Resource::As);
        setrlimit(Resource::As, Rlimit { current: Some(most), maximum }).unwrap();
    });
}

/// The message of an error, `None` for none.
pub(crate) fn refusal<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<String> {
    // With the causes, where the error has them.
    result.err().map(|error| format!("{error:#}"))
}
