//! Programs that this one starts: wrapped programs, and plugins that are programs.
//!
//! A child starts as from a shell: with an empty signal mask, the default action of every signal, the limit
//! of open files that this program was started with, and no descriptor above 2 but those that it is given.
//! Its environment is ours, without the service manager's variables for this process, which were removed at
//! startup.
//!
//! Orphans are reaped here, too ([`reap_orphans`]), because the two must agree on whose child it is: the
//! status of our own child goes to its owner.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{self, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions};

use crate::sys;
use crate::sys::process::ended_child;

/// How a child is started, besides what its `Command` says.
#[derive(Debug, Default)]
pub struct Terms {
    /// In a process group of its own, so that signals reach all that it starts.
    pub own_group: bool,
    /// Killed, with its group, when this program ends ([`kill_remaining`]).
    pub ends_with_us: bool,
    /// Descriptors that it gets, under the numbers that they have here.
    pub kept: Vec<OwnedFd>,
}

/// A program that was started here. If dropped before it has exited, it continues, and its exit status is not reported.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    own_group: bool,
    /// Its exit status, once taken.
    status: Option<ExitStatus>,
}

/// Starts a program.
///
/// # Errors The system's: there is no such program, it is not executable, its directory does not exist, or
/// there are too many processes or descriptors.
pub fn start(mut command: Command, terms: Terms) -> io::Result<Child> {
    if terms.own_group {
        command.process_group(0);
    }
    let kept = terms.kept.iter().map(AsRawFd::as_raw_fd).collect();
    sys::child::start_clean(&mut command, kept, sys::open_files_at_start());
    // A child that exits at once must not be taken for an orphan before its process ID is known here, nor one
    // whose exec fails, which std waits for.
    registry().starting += 1;
    let started = command.spawn();
    let mut registry = registry();
    registry.starting -= 1;
    let started = started.map(|process| {
        registry.own.push(Own {
            pid: process.id(),
            ends_with_us: terms.ends_with_us,
            own_group: terms.own_group,
        });
        Child { process, own_group: terms.own_group, status: None }
    });
    registry.reap_orphans();
    started
}

impl Child {
    /// The number of the process, and of its group if it has one of its own.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its standard input, if that is a pipe and was not taken before.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.process.stdin.take()
    }

    /// Its standard output, if that is a pipe and was not taken before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// Its standard error, if that is a pipe and was not taken before.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.process.stderr.take()
    }

    /// Sends a signal to the child, or to its whole group if it has one of its own. Until the status is taken
    /// no other process can have its ID, so the group of a child that has exited can be signalled before
    /// [`Child::try_wait`], but not after it.
    ///
    /// # Errors
    /// The system's (kill(2)); ESRCH when the status was taken.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.status.is_some() {
            return Err(rustix::io::Errno::SRCH.into());
        }
        send(self.pid(), self.own_group, signal)
    }

    /// Whether the child has ended, without taking its status.
    pub fn has_ended(&self) -> bool {
        self.status.is_some() || self.look(WaitIdOptions::NOHANG)
    }

    /// The child's exit status, if it has exited; the same at each further call.
    ///
    /// # Errors
    /// The system's (waitpid(2)).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            // From here on the ID may be reused, so both happen under one lock.
            let mut registry = registry();
            self.status = self.process.try_wait()?;
            if self.status.is_some() {
                registry.forget(self.process.id());
                // The kernel reports one exited child at a time, and this one may have hidden others.
                registry.reap_orphans();
            }
        }
        Ok(self.status)
    }

    /// Blocks until the child has exited and returns its status. For tests: the program itself never waits
    /// like this.
    ///
    /// # Errors
    /// The system's (waitpid(2)).
    #[cfg(any(test, feature = "testing"))]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            self.look(WaitIdOptions::empty());
        }
    }

    /// Whether the child has ended, or else, without NOHANG, waits for that (waitid(2)).
    fn look(&self, options: WaitIdOptions) -> bool {
        let Some(pid) = number(self.pid()) else { return true };
        let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None) | Err(rustix::io::Errno::INTR))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            let mut registry = registry();
            registry.forget(self.process.id());
            registry.reap_orphans();
        }
    }
}

/// Reaps children that have exited and that were not started here: as process 1 of a container this program
/// becomes the parent of every process whose own has ended, and a script that starts helpers and then becomes
/// this program by exec leaves them as its children, too. When they exit they have to be reaped, or they stay
/// as zombies.
///
/// To be called at startup and at every SIGCHLD. From the first call on it also happens at every start and
/// exit of our own children.
pub fn reap_orphans() {
    let mut registry = registry();
    registry.reaps = true;
    registry.reap_orphans();
}

/// Kills the children that must not outlive this program.
pub fn kill_remaining() {
    for own in registry().own.iter().filter(|own| own.ends_with_us) {
        // It may have ended by itself.
        let _ = send(own.pid, own.own_group, Signal::KILL);
    }
}

/// Children that were started here and not reaped yet.
struct Registry {
    own: Vec<Own>,
    /// Starts under way whose process IDs are not known yet.
    starting: usize,
    /// Whether orphans are reaped in this process.
    reaps: bool,
}

struct Own {
    pid: u32,
    ends_with_us: bool,
    own_group: bool,
}

impl Registry {
    fn reap_orphans(&self) {
        // While a start is under way, an unknown child may be ours. This is called again when it is done.
        while self.reaps
            && self.starting == 0
            && let Some(child) = ended_child()
        {
            // Of several exited children the kernel reports the same one until it is reaped; whoever reaps
            // one of ours calls this again.
            let is_own = self.own.iter().any(|own| i64::from(own.pid) == i64::from(child));
            if is_own || !take(child) {
                return;
            }
        }
    }

    fn forget(&mut self, pid: u32) {
        self.own.retain(|own| own.pid != pid);
    }
}

fn take(child: i32) -> bool {
    let child = Pid::from_raw(child);
    matches!(rustix::process::waitpid(child, WaitOptions::NOHANG), Ok(Some(_)))
}

fn send(pid: u32, group: bool, signal: Signal) -> io::Result<()> {
    let pid = number(pid).ok_or(rustix::io::Errno::SRCH)?;
    let sent = match group {
        true => rustix::process::kill_process_group(pid, signal),
        false => rustix::process::kill_process(pid, signal),
    };
    Ok(sent?)
}

fn number(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { own: Vec::new(), starting: 0, reaps: false });

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
