//! What a process has used, as /proc says it.

use std::fs;

/// Totals of one process since its start; context switches of its live threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu_ns: u64,
    /// The most memory that was ever resident.
    pub peak_kib: u64,
    /// Resident now.
    pub resident_kib: u64,
    /// Times that a thread gave up the processor to wait.
    pub voluntary: u64,
    /// Times that it was taken from one.
    pub involuntary: u64,
}

/// The kernel counts CPU time of a process in these units for /proc: USER_HZ is 100 on every Linux ABI
/// of x86-64 and arm64. `schedstat` is exact but per thread, so threads are summed up where it exists.
const TICK_NS: u64 = 10_000_000;

impl Usage {
    /// Of this process, now. Zeros where /proc does not tell.
    pub fn of_this_process() -> Self {
        let mut usage = Self { cpu_ns: cpu_ns_by_ticks(), ..Self::default() };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        usage.peak_kib = field(&status, "VmHWM:").unwrap_or(0);
        usage.resident_kib = field(&status, "VmRSS:").unwrap_or(0);
        let mut exact_ns = 0;
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let status = read("status");
            usage.voluntary += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            usage.involuntary += field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
            exact_ns += read("schedstat").split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        }
        // Threads that have ended are missing from the sum, and counted by the ticks.
        usage.cpu_ns = usage.cpu_ns.max(exact_ns);
        usage
    }

    /// What was used between `earlier` and this. Memory is what it is at this time.
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            peak_kib: self.peak_kib,
            resident_kib: self.resident_kib,
            voluntary: self.voluntary.saturating_sub(earlier.voluntary),
            involuntary: self.involuntary.saturating_sub(earlier.involuntary),
        }
    }
}

/// The most memory of this process that was ever resident.
pub fn peak_kib() -> u64 {
    field(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmHWM:").unwrap_or(0)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].split_whitespace().next()?.parse().ok()
}

fn cpu_ns_by_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command name may hold anything; fields are counted from behind its parenthesis.
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0 };
    let ticks = |index: usize| rest.split_whitespace().nth(index).and_then(|t| t.parse::<u64>().ok());
    (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * TICK_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_as_cpu_time() {
        let before = Usage::of_this_process();
        let mut sum = 0u64;
        while Usage::of_this_process().since(before).cpu_ns < 2 * TICK_NS {
            sum = (0..100_000).fold(sum, |sum, i| sum.rotate_left(3) ^ i);
        }
        let Usage { peak_kib, resident_kib, .. } = Usage::of_this_process();
        assert!(resident_kib > 100 && peak_kib >= resident_kib && sum != 1, "{resident_kib} of at most {peak_kib}");
    }
}
