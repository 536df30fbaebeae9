//! Processor time and memory of this process.

use rustix::time::{ClockId, clock_gettime};

/// Returns the seconds that all threads of this process have spent on processors so far.
///
/// On a machine that others use as well this says more than a clock on the wall. Threads that wait for one another by
/// spinning count as working.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Returns the largest resident size of this process so far, in bytes; `None` where the system does not report it.
pub fn peak_memory() -> Option<u64> {
    status("VmHWM:")
}

/// Returns the resident size of this process now, in bytes; `None` where the system does not report it.
pub fn resident_memory() -> Option<u64> {
    status("VmRSS:")
}

fn status(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn processor_time_grows_with_work_and_not_with_sleep() {
        let start = super::cpu_seconds();
        std::thread::sleep(std::time::Duration::from_millis(30));
        let slept = super::cpu_seconds();
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 60 {
            std::hint::black_box((0..1000u64).sum::<u64>());
        }
        let worked = super::cpu_seconds();
        assert!(slept >= start && worked > slept, "{start} {slept} {worked}");
    }
}
