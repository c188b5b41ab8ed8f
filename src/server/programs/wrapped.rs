//! The wrapped program, to whose port clients are connected, and what happens when it ends.

use std::io::{IsTerminal, stdin};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::command::{Fault, Program, exit_code, returned};
use super::group::Leaving;
use super::respawn::Starts;
use crate::child::Child;
use crate::cli::WrapMode;
use crate::log::{Level, Log, Topic};
use crate::os::rebind::Reserved;

/// The program and its state.
pub(in crate::server) struct Wrapped {
    program: Program,
    title: String,
    mode: WrapMode,
    log: Arc<Log>,
    /// Its port, reserved for as long as this exists.
    _reserved: Reserved,
    /// Tells those who wait for it that it has ended and will not be restarted.
    over: Arc<AtomicBool>,
    starts: Starts,
    life: Life,
    /// Its exit status after being stopped is our exit code.
    answers: bool,
    /// The exit code it determines for us.
    code: Option<u8>,
}

enum Life {
    Running(Child),
    /// Ended; it is restarted at this time.
    Resting(Instant),
    /// Being stopped.
    Leaving(Leaving),
    /// There is nothing to wait for.
    Over,
}

impl Wrapped {
    /// Starts it.
    ///
    /// # Errors
    /// Why it can't be started.
    pub(super) fn start(
        program: Program,
        mode: WrapMode,
        (reserved, over): (Reserved, Arc<AtomicBool>),
        log: &Arc<Log>,
        now: Instant,
    ) -> Result<Wrapped, Fault> {
        let title = program.title();
        let (log, starts) = (Arc::clone(log), Starts::default());
        let mut wrapped = Wrapped {
            program,
            title,
            mode,
            log,
            _reserved: reserved,
            over,
            starts,
            life: Life::Over,
            answers: false,
            code: None,
        };
        wrapped.life = Life::Running(wrapped.spawn(now)?);
        Ok(wrapped)
    }

    fn spawn(&mut self, now: Instant) -> Result<Child, Fault> {
        self.log.note(Topic::Program, Level::Info, format_args!("Starting '{}'", self.title));
        self.starts.note(now);
        // A program of another group that reads the terminal is stopped.
        let input = if stdin().is_terminal() { Stdio::null() } else { Stdio::inherit() };
        self.program.start(input, None, self.mode != WrapMode::Ignore)
    }

    /// Handles the end of a child, perhaps this one. True if that ends the service.
    pub(super) fn children_ended(&mut self, now: Instant) -> bool {
        let status = match &mut self.life {
            Life::Running(child) => child.try_wait().ok().flatten(),
            Life::Leaving(_) => {
                self.look(now);
                None
            }
            Life::Resting(_) | Life::Over => None,
        };
        let Some(status) = status else { return false };
        self.log.note(
            Topic::Program,
            Level::Debug,
            format_args!("Wrapped command exited (or daemon). Returned {}", returned(status)),
        );
        match self.mode {
            WrapMode::Exit => {
                self.code = Some(exit_code(status));
                self.over.store(true, Ordering::Relaxed);
                self.life = Life::Over;
            }
            WrapMode::Ignore => self.life = Life::Over,
            WrapMode::Respawn => self.rest(now),
        }
        self.mode == WrapMode::Exit
    }

    /// Restarts it, now or later.
    fn rest(&mut self, now: Instant) {
        match self.starts.next().filter(|next| *next > now) {
            None => self.respawn(now),
            Some(next) => {
                self.log.note(Topic::Program, Level::Warning, format_args!("Command respawning too fast"));
                self.life = Life::Resting(next);
            }
        }
    }

    fn respawn(&mut self, now: Instant) {
        match self.spawn(now) {
            Ok(child) => self.life = Life::Running(child),
            Err(Fault { text, .. }) => {
                self.log.note(Topic::Program, Level::Warning, format_args!("{text}"));
                self.rest(now);
            }
        }
    }

    /// Does what is due.
    pub(super) fn look(&mut self, now: Instant) {
        match &mut self.life {
            Life::Resting(next) if now >= *next => self.respawn(now),
            Life::Leaving(leaving) => {
                leaving.look(now);
                if let (Some(status), true) = (leaving.status(), self.answers) {
                    self.code = Some(exit_code(status));
                }
                if leaving.is_over() {
                    self.life = Life::Over;
                }
            }
            Life::Running(_) | Life::Resting(_) | Life::Over => {}
        }
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        match &self.life {
            Life::Resting(next) => Some(*next),
            Life::Leaving(leaving) => leaving.next(),
            Life::Running(_) | Life::Over => None,
        }
    }

    /// Stops it, or lets it run on where its end does not matter. `answers`: its exit status becomes ours where they
    /// are linked.
    pub(super) fn end(&mut self, answers: bool, now: Instant) {
        self.over.store(true, Ordering::Relaxed);
        self.answers = answers && self.mode == WrapMode::Exit;
        match std::mem::replace(&mut self.life, Life::Over) {
            Life::Running(child) if self.mode != WrapMode::Ignore => {
                self.life = Life::Leaving(Leaving::begin(child, now));
                self.look(now);
            }
            Life::Leaving(leaving) => self.life = Life::Leaving(leaving),
            Life::Running(_) | Life::Resting(_) | Life::Over => {}
        }
    }

    /// Kills what is left; no client waits for it any longer.
    pub(super) fn kill(&self) {
        match &self.life {
            Life::Leaving(leaving) => leaving.kill(),
            Life::Running(_) | Life::Resting(_) | Life::Over => {}
        }
    }

    /// Whether nothing is left to wait for at shutdown.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.life, Life::Over)
    }

    /// The exit code it determines for the service.
    pub(super) fn code(&self) -> Option<u8> {
        self.code
    }
}
