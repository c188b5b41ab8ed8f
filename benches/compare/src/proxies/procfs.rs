//! CPU time and private memory of a process and all its descendants, read from /proc.
//!
//! `schedstat` counts nanoseconds, `stat` only hundredths of a second; but only `stat` knows of threads
//! that ended and of children that were reaped. Both are read, so that a proxy that forks per connection
//! is charged for its children.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// CPU seconds that the tree under `root` has used since it began.
pub(crate) fn cpu_s(root: u32) -> io::Result<f64> {
    let mut total = 0.0;
    for pid in tree(root)? {
        total += process_cpu_s(pid).unwrap_or(0.0);
    }
    Ok(total)
}

/// The same when the tree has come to rest: what a batch started may run a moment longer than the batch.
pub(crate) fn settled_cpu_s(root: u32) -> io::Result<f64> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    let mut before = cpu_s(root)?;
    loop {
        thread::sleep(SETTLE_STEP);
        let now = cpu_s(root)?;
        // A child that ended while it was looked at is missing from one look: time never runs backwards.
        let is_at_rest = (0.0..SETTLED_S).contains(&(now - before));
        before = before.max(now);
        if is_at_rest || Instant::now() > deadline {
            return Ok(before);
        }
    }
}

/// Bytes that only the tree's own processes map, summed over them.
pub(crate) fn private_bytes(root: u32) -> io::Result<u64> {
    let mut total = 0;
    for pid in tree(root)? {
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        total += rollup
            .lines()
            .filter(|line| line.starts_with("Private_"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum::<u64>()
            * 1024;
    }
    Ok(total)
}

/// `root` and its descendants, parents first.
pub(crate) fn tree(root: u32) -> io::Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = stat_fields(pid).and_then(|fields| fields.get(PARENT)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

/// The threads of a process; none when it has ended.
pub(crate) fn threads(pid: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// True when something on this machine listens on the loopback port.
pub(crate) fn is_listening(port: u16) -> bool {
    let wanted = format!("0100007F:{port:04X}");
    fs::read_to_string("/proc/net/tcp").is_ok_and(|table| {
        table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next() == Some(wanted.as_str()) && words.nth(1) == Some("0A")
        })
    })
}

fn process_cpu_s(pid: u32) -> Option<f64> {
    let fields = stat_fields(pid)?;
    let seconds = |field: usize| Some(fields.get(field)?.parse::<f64>().ok()? / TICKS_PER_S);
    let own_by_ticks = seconds(USER)? + seconds(SYSTEM)?;
    let reaped = seconds(CHILD_USER)? + seconds(CHILD_SYSTEM)?;
    let mut own_ns = 0.0;
    for thread in threads(pid) {
        if let Ok(line) = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")) {
            own_ns += line.split_whitespace().next()?.parse::<f64>().ok()?;
        }
    }
    Some((own_ns / 1e9).max(own_by_ticks) + reaped)
}

/// The fields of /proc/PID/stat behind the name, which may hold spaces and brackets itself.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Where proc(5)'s fields lie, counted from the state.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
const CHILD_USER: usize = 13;
const CHILD_SYSTEM: usize = 14;

/// The unit of those fields: fixed at 100 towards user space on every Linux architecture that we build for.
const TICKS_PER_S: f64 = 100.0;

const SETTLE_STEP: Duration = Duration::from_millis(2);
const SETTLE_LIMIT: Duration = Duration::from_millis(1500);

/// A tree that uses less than this in a step is at rest.
const SETTLED_S: f64 = 20e-6;

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{self, Command};

    #[test]
    fn a_tree_holds_its_root_and_its_children() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep is everywhere");
        let found = tree(process::id()).expect("/proc is readable");
        let killed = child.kill().and_then(|()| child.wait());
        assert!(found[0] == process::id() && found.contains(&child.id()));
        assert!(killed.is_ok());
    }

    #[test]
    fn work_shows_as_cpu_time_and_memory_as_private_bytes() {
        let held_before = private_bytes(process::id()).expect("/proc is readable");
        // Far more than the tests beside this one hold and give back meanwhile.
        let block = vec![1u8; 512 << 20];
        assert!(private_bytes(process::id()).expect("/proc is readable") >= held_before + (256 << 20));
        let before = cpu_s(process::id()).expect("/proc is readable");
        let mut sum = 0u64;
        loop {
            sum = block.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
            if cpu_s(process::id()).expect("/proc is readable") - before >= 0.005 {
                break;
            }
        }
        assert!(sum > 0);
    }
}
