//! How long the processors have worked for this process.

/// The seconds that all threads of this process have spent on processors so far, in steps of 0.01; `None` where the
/// system does not tell.
///
/// On a machine that others use as well this says more than a clock on the wall; threads that wait for one another by
/// spinning count as working.
pub fn cpu_seconds() -> Option<f64> {
    /// Linux tells in hundredths of a second, whatever its own clock does.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the program's name in parentheses, may have spaces in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}
