//! What all connections of the process share, whatever listener they came by. It is never replaced: it knows
//! which log lines were left out, whether the one session of `--run-once` has begun, and which look-ups are on
//! their way.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::limit::Limiter;
use crate::log::Log;
use crate::resolve::Resolver;

/// The part of a connection's surroundings that lasts as long as the process.
pub struct Shared {
    /// Where lines go.
    pub log: Arc<Log>,
    /// Looks names up.
    pub resolver: Resolver,
    /// Keeps lines that peers cause from flooding the log; its kinds are those of [`super::end::Kind`].
    pub limiter: Limiter,
    /// How many connections there may be.
    pub places: Places,
    /// Whether only one session is served (`--run-once`), and whether it has begun.
    pub once: Option<AtomicBool>,
    /// Connections accepted so far.
    pub accepted: AtomicU64,
}

/// How many connections there may be, and why no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Connections served at a time, over all listeners.
    pub connections_max: u32,
    /// The limit of open files, if that is what allows no more of them.
    pub open_files: Option<NonZero<u32>>,
}

/// That they are all taken, and what to change.
impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} connections are in use (--max-connections", self.connections_max)?;
        if let Some(open_files) = self.open_files {
            write!(f, "; ulimit -n is {open_files}")?;
        }
        f.write_str(")")
    }
}

impl Shared {
    /// Claims the one session of `--run-once`; always true without that option.
    pub fn claim_session(&self) -> bool {
        self.once.as_ref().is_none_or(|begun| !begun.swap(true, Ordering::Relaxed))
    }

    /// The number of a connection that is being accepted, from 1 on.
    pub fn next_number(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }
}
