//! Stopping a program: its whole process group gets TERM, and what is left after a while gets KILL.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, getpid, kill_process_group, set_child_subreaper, test_kill_process_group,
};

use crate::child::Child;

/// A program that is being stopped, with its process group.
#[derive(Debug)]
pub(super) struct Leaving {
    child: Child,
    kill_at: Instant,
    /// The program's own exit status, once it has ended.
    status: Option<ExitStatus>,
    /// The group is empty, or nothing more can be done.
    is_over: bool,
    /// When to check again whether the group is empty.
    look_at: Instant,
}

impl Leaving {
    /// Sends TERM to the group. A program that has ended but has not been reaped still has one.
    pub(super) fn begin(child: Child, now: Instant) -> Leaving {
        // What is left behind by those who end before it becomes ours, and is reaped: not every process 1 does that, and
        // what nobody has reaped still counts as there. A kernel that does not know it leaves all as it was.
        let _ = set_child_subreaper(Some(getpid()));
        // It may be gone. An error that is none is not worth the wait for the KILL.
        let _ = child.signal(Signal::TERM).or_else(|_| child.signal(Signal::TERM));
        let mut leaving =
            Leaving { child, kill_at: now + PATIENCE, status: None, is_over: false, look_at: now + LOOK };
        leaving.look(now);
        leaving
    }

    /// Checks what is left of the group, and kills it when the time has come.
    pub(super) fn look(&mut self, now: Instant) {
        if self.is_over {
            return;
        }
        self.look_at = now + LOOK;
        let is_late = now >= self.kill_at;
        if is_late {
            self.signal(Signal::KILL);
        }
        if self.status.is_none() {
            // An error says that it is not a child of ours any more.
            self.status = self.child.try_wait().ok().flatten();
        }
        let is_gone = self.status.is_some() && !self.has_members();
        self.is_over = is_gone || now >= self.kill_at + GIVE_UP;
    }

    /// Kills what is left without waiting for it to end.
    pub(super) fn kill(&self) {
        if !self.is_over {
            self.signal(Signal::KILL);
        }
    }

    /// When to check again, if needed.
    pub(super) fn next(&self) -> Option<Instant> {
        match (self.is_over, self.status) {
            (true, _) => None,
            // Its end is told by a signal.
            (false, None) => Some(self.kill_at.max(self.look_at)),
            // That of others in its group is not.
            (false, Some(_)) => Some(self.look_at),
        }
    }

    /// Whether nothing is left to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// How the program itself has ended, once it has.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Whether processes are left in the group. A number is no other group's while one is, and this is asked ten times
    /// a second until none is, so it can't have become another's meanwhile.
    fn has_members(&self) -> bool {
        self.group().is_some_and(|group| test_kill_process_group(group) != Err(rustix::io::Errno::SRCH))
    }

    fn signal(&self, signal: Signal) {
        match (self.status, self.group()) {
            (Some(_), Some(group)) => drop(kill_process_group(group, signal)),
            (Some(_) | None, _) => drop(self.child.signal(signal)),
        }
    }

    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.pid()).ok().and_then(Pid::from_raw)
    }
}

/// Time between TERM and KILL.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is still there so long after its KILL can't be killed: it belongs to another user, or to a disk that does not
/// answer.
const GIVE_UP: Duration = Duration::from_millis(500);

/// How often the group is checked.
const LOOK: Duration = Duration::from_millis(100);
