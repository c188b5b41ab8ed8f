//! What the kernel knows about this process, read on demand (proc(5)). Without /proc there is nothing.

use std::fs;
use std::time::Duration;

/// Sizes from /proc/self/status.
pub(super) struct Sizes {
    /// Memory that is resident, in bytes.
    pub(super) resident: Option<u64>,
    /// The address space, in bytes.
    pub(super) virtual_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
}

/// Reads them.
pub(super) fn sizes() -> Sizes {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Sizes {
        resident: number("VmRSS:").map(|kib| kib * 1024),
        virtual_bytes: number("VmSize:").map(|kib| kib * 1024),
        threads: number("Threads:"),
    }
}

/// Processor time of the process, those of its threads that have ended among it.
pub(super) fn cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name is in parentheses and may hold anything; user and system time are the 14th and 15th field.
    let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks(11)? + ticks(12)?) * (1000 / TICKS_A_SECOND)))
}

/// Processor time of each reactor's thread, by the thread's name.
pub(super) fn reactor_cpu(count: usize) -> Vec<Option<Duration>> {
    let mut times = vec![None; count];
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let number = name.trim().strip_prefix("reactor-").and_then(|number| number.parse::<usize>().ok());
        if let Some(time) = number.and_then(|number| times.get_mut(number)) {
            // Nanoseconds on a processor come first.
            let stat = fs::read_to_string(task.path().join("schedstat")).ok();
            *time = stat.and_then(|stat| stat.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
        }
    }
    times
}

/// Open files; the one that it is counted with is not.
pub(super) fn open_files() -> Option<u64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64)
}

/// Files that may be open.
pub(super) fn open_files_max() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current
}

/// What the kernel counts process times in, on every architecture that this runs on (USER_HZ).
const TICKS_A_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_sizes() {
        let sizes = sizes();
        assert!(sizes.resident.is_some_and(|bytes| bytes > 1 << 20) && sizes.resident < sizes.virtual_bytes);
        assert!(sizes.threads.is_some_and(|threads| threads >= 1));
        assert!(open_files().is_some_and(|count| count >= 3) && open_files() < open_files_max());
        assert!(cpu().is_some());
    }
}
