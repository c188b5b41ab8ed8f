//! Programs that the service starts: one that listens on the given port (`-- COMMAND`), or one for each session
//! (`--wrap-stdin`). The main thread and helpers start them; the main thread reaps them.

mod command;
mod group;
mod plan;
mod respawn;
mod sessions;
mod wrapped;

use std::time::Instant;

pub(super) use command::Fault;
pub(super) use plan::{Plan, Way};
use sessions::SessionPrograms;
use wrapped::Wrapped;

/// What is running.
pub(super) enum Programs {
    /// Nothing.
    None,
    /// A program that listens.
    Wrapped(Box<Wrapped>),
    /// One for each session.
    Sessions(SessionPrograms),
}

impl Programs {
    /// Handles the end of a child. True if that ends the service.
    pub(super) fn children_ended(&mut self, now: Instant) -> bool {
        match self {
            Programs::None => false,
            Programs::Wrapped(wrapped) => wrapped.children_ended(now),
            Programs::Sessions(sessions) => {
                sessions.look(now);
                false
            }
        }
    }

    /// Does what is due.
    pub(super) fn look(&mut self, now: Instant) {
        match self {
            Programs::None => {}
            Programs::Wrapped(wrapped) => wrapped.look(now),
            Programs::Sessions(sessions) => sessions.look(now),
        }
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        match self {
            Programs::None => None,
            Programs::Wrapped(wrapped) => wrapped.next(),
            Programs::Sessions(sessions) => sessions.next(),
        }
    }

    /// Stops what is running, unless it is meant to outlive us. `answers`: a program's exit status then becomes ours
    /// where they are linked.
    pub(super) fn end(&mut self, answers: bool, now: Instant) {
        match self {
            Programs::None => {}
            Programs::Wrapped(wrapped) => wrapped.end(answers, now),
            Programs::Sessions(sessions) => sessions.end(now),
        }
    }

    /// Kills what is still running after being asked to stop.
    pub(super) fn kill(&self) {
        match self {
            Programs::None => {}
            Programs::Wrapped(wrapped) => wrapped.kill(),
            Programs::Sessions(sessions) => sessions.kill(),
        }
    }

    /// Whether nothing is left to wait for at shutdown.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Programs::None => true,
            Programs::Wrapped(wrapped) => wrapped.is_over(),
            Programs::Sessions(sessions) => sessions.is_over(),
        }
    }

    /// The exit code that a program determines for the service.
    pub(super) fn code(&self) -> Option<u8> {
        match self {
            Programs::Wrapped(wrapped) => wrapped.code(),
            Programs::None | Programs::Sessions(_) => None,
        }
    }
}
