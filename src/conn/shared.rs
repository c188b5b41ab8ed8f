//! What all connections of the process share, whatever their listener. It is never replaced: it knows which
//! log lines were left out, whether the one session of `--run-once` has begun, and which lookups are on their
//! way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::health::{Check, Health, Phase};
use crate::id::Instance;
use crate::limit::{Limiter, Places};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::resolve::Resolver;

/// The part of a connection's environment that lasts as long as the process.
pub struct Shared {
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
    /// Whether new clients are welcome.
    pub health: Health,
    /// The counters of all reactors, in their order.
    pub metrics: Vec<Arc<Metrics>>,
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

impl Shared {
    /// The conditions of being ready, in the order in which they are reported. `live` is the number of
    /// connections besides the one that asks, if one does; `lacks_certificate` says that nobody can be served
    /// for lack of a certificate.
    pub fn checks(&self, live: usize, lacks_certificate: bool) -> [Check; 5] {
        let (phase, most) = (self.health.phase(), self.places.connections_max as usize);
        let check = |name, failure: Option<&str>| Check { name, failure: failure.map(str::to_owned) };
        let listening = match phase {
            Phase::Starting => Some("starting"),
            Phase::Serving => None,
            Phase::Finishing | Phase::Closing => Some("no new clients are accepted"),
        };
        let full = self.health.is_full(live, most).then(|| format!("{live} of {most}"));
        [
            check(LISTENING, listening),
            check("not-withdrawn", self.health.is_withdrawn().then_some("taken out by the operator")),
            check(
                "not-draining",
                (phase >= Phase::Finishing).then_some("sessions end by themselves or are closed"),
            ),
            Check { name: "not-full", failure: full },
            check("certificate", lacks_certificate.then_some("no TLS client can be served")),
        ]
    }

    /// Connections of all reactors.
    pub fn live(&self) -> usize {
        self.metrics.iter().map(|metrics| metrics.live.load(Ordering::Relaxed)).sum()
    }

    /// Why this connection's listener is not ready, for a client that asks on the public port, and is one of
    /// the connections itself. It was accepted, so startup is over.
    pub fn unready(&self, lacks_certificate: bool) -> Option<String> {
        let checks = self.checks(self.live().saturating_sub(1), lacks_certificate).into_iter();
        let is_starting = self.health.phase() == Phase::Starting;
        let mut checks = checks.filter(|check| !is_starting || check.name != LISTENING);
        checks.find_map(|check| Some(format!("{}: {}", check.name, check.failure?)))
    }
}

/// The check whose answer a client on the public port knows.
const LISTENING: &str = "listening";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::rig::{Setup, shared};

    #[test]
    fn each_reason_not_to_be_ready_is_told_by_its_check() {
        let failed = |act: fn(&Shared), live: usize, lacks: bool| -> Vec<&'static str> {
            let shared = shared(&Setup::default());
            act(&shared);
            let checks = shared.checks(live, lacks).into_iter();
            checks.filter(|check| check.failure.is_some()).map(|check| check.name).collect()
        };
        assert!(failed(|_| {}, 0, false).is_empty());
        assert_eq!(failed(|shared| shared.health.withdraw(true), 0, false), ["not-withdrawn"]);
        assert_eq!(
            failed(|shared| shared.health.enter(Phase::Finishing), 0, false),
            ["listening", "not-draining"]
        );
        assert_eq!(failed(|_| {}, 100, false), ["not-full"]);
        assert_eq!(failed(|_| {}, 0, true), ["certificate"]);
    }
}
