//! What all connections of the process share, whatever listener they came by. It is never replaced: it knows
//! which log lines were left out, whether the one session of `--run-once` has begun, and which look-ups are on
//! their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::id::Instance;
use crate::limit::{Limiter, Places};
use crate::log::Log;
use crate::resolve::Resolver;

/// The part of a connection's surroundings that lasts as long as the process.
pub struct Shared {
    #[cfg_attr(not(feature = "testing"), allow(dead_code, reason = "logs and lists follow"))]
    /// Which process this is, in the names of its sessions.
    pub instance: Instance,
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
