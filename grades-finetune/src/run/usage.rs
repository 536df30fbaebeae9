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

/// Measures [`peak_memory`] anew from now on, where the system can do that.
pub fn reset_peak_memory() {
    // Without it the peak is that of the whole process, which is more.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the bytes of main memory that this process may still take: what is free on the machine, within the limit of its
/// control group; `None` where the system does not report it.
pub fn available_memory() -> Option<u64> {
    let free = field("/proc/meminfo", "MemAvailable:")?;
    let of_group = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    let limit = of_group("memory.max").zip(of_group("memory.current"));
    Some(limit.map_or(free, |(most, used)| free.min(most.saturating_sub(used))))
}

fn status(key: &str) -> Option<u64> {
    field("/proc/self/status", key)
}

fn field(file: &str, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(file).ok()?;
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
