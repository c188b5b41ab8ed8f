//! What the system knows about the gateway's process: its time, its children, what each reactor watches;
//! and the limits under which it is started.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::server::{Server, program};

impl Server {
    /// Time that all of its threads have spent on a processor, to a hundredth of a second.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).expect("the gateway runs");
        // The name is in parentheses and may hold anything; user and system time are the 14th and 15th field.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).expect("a time");
        Duration::from_millis((ticks(11) + ticks(12)) * (1000 / TICKS_A_SECOND))
    }

    /// Waits until it has spent no time for a while.
    pub(crate) fn wait_until_it_rests(&self) {
        let mut spent = Duration::MAX;
        super::eventually("the gateway to rest", || {
            std::thread::sleep(Duration::from_millis(200));
            std::mem::replace(&mut spent, self.cpu_time()) == spent
        });
    }

    /// How many processes it has started that are still there, zombies included.
    pub(crate) fn children(&self) -> usize {
        let processes = fs::read_dir("/proc").expect("a system with /proc").flatten();
        let stats = processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let own = self.pid().to_string();
        stats
            .filter(|stat| stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&own))
            .count()
    }

    /// How many descriptors each of its polls watches, reactor by reactor in the order of their making.
    pub(crate) fn watched(&self) -> Vec<usize> {
        let mut polls: Vec<(u32, usize)> = Vec::new();
        for entry in fs::read_dir(self.proc("fd")).expect("the gateway runs").flatten() {
            let link = fs::read_link(entry.path()).unwrap_or_default();
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(number) = number
                && link.to_str() == Some("anon_inode:[eventpoll]")
            {
                let info = fs::read_to_string(self.proc(&format!("fdinfo/{number}"))).unwrap_or_default();
                polls.push((number, info.lines().filter(|line| line.starts_with("tfd:")).count()));
            }
        }
        polls.sort_unstable();
        polls.into_iter().map(|(_, count)| count).collect()
    }

    /// Lowers its limit of open files, hard and soft. What is open stays open.
    pub(crate) fn limit_open_files(&self, limit: u64) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed());
        let lower = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::prlimit(pid, Resource::Nofile, lower).expect("the gateway runs");
    }

    /// How many numbers below `limit` are free for a new descriptor. It may have inherited some above.
    pub(crate) fn free_descriptors(&self, limit: usize) -> usize {
        (0..limit).filter(|number| !self.proc(&format!("fd/{number}")).is_symlink()).count()
    }

    /// How many connections ended as this kind, by the lines that `-v` writes at the exit.
    pub(crate) fn ended_as(&self, kind: &str) -> u64 {
        self.endings().into_iter().find(|(name, _)| name == kind).map_or(0, |(_, count)| count)
    }

    /// All kinds of endings and how often each came, by the lines that `-v` writes at the exit.
    pub(crate) fn endings(&self) -> Vec<(String, u64)> {
        let lines = self.log.wait_for_end();
        let endings = lines.iter().filter_map(|line| line.strip_prefix("connections ended as "));
        let pairs = endings.filter_map(|line| line.split_once(": "));
        pairs.map(|(kind, count)| (kind.to_owned(), count.parse().expect("a count"))).collect()
    }

    fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid()).into()
    }
}

/// A command that starts the gateway under these soft and hard limits of open files.
pub(crate) fn limited(soft: u64, hard: u64, args: &[impl AsRef<OsStr>]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\""), "sh", &program()]);
    shell.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// The hard limit of open files.
pub(crate) fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Raises the tests' own limit of open files as far as it goes, since the tests that run beside this one open
/// some, too. False, with a line about it, when that is less than `count`.
pub(crate) fn may_open(count: u64) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit { current: maximum, maximum };
    let enough = open_files_max() >= count && setrlimit(Resource::Nofile, raised).is_ok();
    if !enough {
        super::skipped(&format!("this needs {count} open files, and {} are allowed", open_files_max()));
    }
    enough
}

/// A size from the environment, for tests that have a small and a large form.
pub(crate) fn size(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// What the kernel counts process times in, on every architecture that this runs on (USER_HZ).
const TICKS_A_SECOND: u64 = 100;
