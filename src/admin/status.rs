//! `/api/v1/status`: what an operator wants to know first.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Admin, health};
use crate::health::Phase;
use crate::sys;

/// What the service is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Ready,
    Unready,
    Full,
    Draining,
    Closing,
}

impl State {
    /// All states, in the order of a life.
    pub(super) const ALL: [State; 6] =
        [State::Starting, State::Ready, State::Unready, State::Full, State::Draining, State::Closing];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Unready => "unready",
            State::Full => "full",
            State::Draining => "draining",
            State::Closing => "closing",
        }
    }

    /// That of a service of which these checks fail.
    pub(super) fn of(phase: Phase, failed: &[&str]) -> State {
        match phase {
            Phase::Starting => State::Starting,
            Phase::Finishing => State::Draining,
            Phase::Closing => State::Closing,
            Phase::Serving if failed.is_empty() => State::Ready,
            Phase::Serving if failed == ["not-full"] => State::Full,
            Phase::Serving => State::Unready,
        }
    }
}

/// What the service is doing now.
pub(super) fn state(admin: &Admin) -> State {
    let checks = health::checks(admin);
    let failed: Vec<&str> =
        checks.iter().filter(|check| check.failure.is_some()).map(|check| check.name).collect();
    State::of(admin.gateway.shared.health.phase(), &failed)
}

/// What the program was built from; packages set it.
pub(super) const REVISION: &str = match option_env!("WEBSOCKIFY_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The object.
pub(super) fn status(admin: &Admin) -> Value {
    let gateway = &admin.gateway;
    let (shared, about) = (&gateway.shared, &gateway.about);
    let checks = health::checks(admin);
    let failed: Vec<&str> =
        checks.iter().filter(|check| check.failure.is_some()).map(|check| check.name).collect();
    let found = admin.pulse.feel(gateway);
    let vitals = || found.reactors.iter().filter_map(|(vitals, _)| *vitals);
    let held: usize = vitals().map(|vitals| vitals.held_bytes).sum();
    let rings: usize = vitals().map(|vitals| vitals.rings_bytes).sum();
    let listeners: Vec<Value> =
        about.listeners.iter().map(|(address, from)| json!({ "address": address, "from": from })).collect();
    json!({
        "name": "websockify",
        "version": env!("CARGO_PKG_VERSION"),
        "revision": REVISION,
        "pid": std::process::id(),
        "instance": shared.instance.to_string(),
        "host": host(),
        "started": moment(about.started),
        "uptime_seconds": seconds(about.launched.elapsed()),
        "state": State::of(shared.health.phase(), &failed).name(),
        "not_ready": failed,
        "listeners": listeners,
        "workers": gateway.reactors.len(),
        "connections": { "now": shared.live(), "max": shared.places.connections_max },
        "memory": {
            "held_bytes": held,
            "rings_bytes": rings,
            "held_bytes_max": about.held_bytes_max,
            "resident_bytes": super::process::sizes().resident,
        },
        "drain": Value::Null,
        "reload": Value::Null,
        "predecessor": Value::Null,
    })
}

/// The name of this machine.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Seconds to a thousandth.
pub(super) fn seconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// A moment in UTC with milliseconds (RFC 3339); `null` for one that no calendar has.
pub(super) fn moment(time: SystemTime) -> Option<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let t = sys::utc_time(i64::try_from(since.as_secs()).ok()?)?;
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        t.year,
        t.month + 1,
        t.day,
        t.hour,
        t.minute,
        t.second,
        since.subsec_millis()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_moment_is_told_in_utc_to_the_millisecond() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_569_604_123);
        assert_eq!(moment(at).as_deref(), Some("2026-11-25T01:20:04.123Z"));
        assert_eq!(moment(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn a_state_is_one_word_for_what_the_checks_say() {
        for (phase, failed, state) in [
            (Phase::Starting, &["listening"][..], State::Starting),
            (Phase::Serving, &[], State::Ready),
            (Phase::Serving, &["not-full"], State::Full),
            (Phase::Serving, &["live", "not-full"], State::Unready),
            (Phase::Serving, &["not-withdrawn"], State::Unready),
            (Phase::Finishing, &["listening"], State::Draining),
            (Phase::Closing, &[], State::Closing),
        ] {
            assert_eq!(State::of(phase, failed), state, "{phase:?} {failed:?}");
        }
    }
}
