//! Counters of one reactor. Only its own thread writes them, so they never contend; others may read.
//!
//! No label's value comes from a client, a token or a target: each is one of an enum here, so the number of series is
//! known before anybody connects.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// An enum whose variants are the values of a label, each at its own index.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident: $($variant:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
        }

        impl $name {
            /// What each value is called, by its index.
            pub const NAMES: &[&str] = &[$($text),*];
        }
    };
}

label! {
    /// What a session comes over.
    Transport:
    Ws = "ws",
    Wss = "wss",
}

label! {
    /// Why a client could not be accepted.
    AcceptError:
    Descriptors = "descriptors",
    Memory = "memory",
    Other = "other",
}

label! {
    /// How far a connection is.
    Stage:
    Proxy = "proxy",
    Sniff = "sniff",
    Tls = "tls",
    Handshake = "handshake",
    Lookup = "lookup",
    Serve = "serve",
    Connect = "connect",
    Relay = "relay",
    Close = "close",
}

label! {
    /// Which way bytes go.
    Way:
    Up = "up",
    Down = "down",
}

label! {
    /// What became of a ping; one that is missed ends its session.
    Ping:
    Sent = "sent",
    Answered = "answered",
}

label! {
    /// Why a session was closed: who wanted it.
    Closer:
    Client = "client",
    Target = "target",
    Us = "us",
}

label! {
    /// A TLS handshake with a client that was completed, by version and whether the client came back with a session
    /// of before.
    Handshake:
    Ok12 = "1.2 false",
    Ok12Resumed = "1.2 true",
    Ok13 = "1.3 false",
    Ok13Resumed = "1.3 true",
}

label! {
    /// What an auth plugin has said.
    Auth:
    Ok = "ok",
    Denied = "denied",
    Error = "error",
}

label! {
    /// What a connection of a trusted proxy began with (`--proxy-protocol`).
    ProxyHeader:
    V1 = "v1",
    V2 = "v2",
    Local = "local",
    Missing = "missing",
    Broken = "broken",
}

label! {
    /// What became of the lookup of a token.
    Lookup:
    Found = "found",
    Unknown = "unknown",
    Error = "error",
    Timeout = "timeout",
    Busy = "busy",
    Cached = "cached",
}

label! {
    /// What became of the lookup of a target's name.
    Resolve:
    Ok = "ok",
    Unknown = "unknown",
    Error = "error",
    Timeout = "timeout",
    Busy = "busy",
}

label! {
    /// What became of a dial.
    Dial:
    Ok = "ok",
    Refused = "refused",
    Timeout = "timeout",
    Unreachable = "unreachable",
    Tls = "tls",
    NoAddress = "no_address",
    NotAllowed = "not_allowed",
    NoDescriptor = "no_descriptor",
}

/// The codes of Close frames that are told apart; any other is the one after them.
pub const CLOSE_CODES: &[u16] = &[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011];

/// What a reactor has counted since it started.
pub struct Metrics {
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Clients that could not be accepted, by [`AcceptError`].
    pub accept_errors: Labelled<{ AcceptError::NAMES.len() }>,
    /// Upgrades that were answered with 101, by [`Transport`].
    pub upgraded: Labelled<{ Transport::NAMES.len() }>,
    /// Current sessions, by [`Transport`].
    pub sessions: [Gauge; Transport::NAMES.len()],
    /// Durations of sessions.
    pub durations: Histogram<{ DURATIONS.len() }>,
    /// Connections by [`Stage`].
    pub stages: [Gauge; Stage::NAMES.len()],
    /// Sessions whose receiving end is not reading, by [`Way`].
    pub stalled: [Gauge; Way::NAMES.len()],
    /// PROXY headers, by [`ProxyHeader`].
    pub proxy_headers: Labelled<{ ProxyHeader::NAMES.len() }>,
    /// Tokens whose target was found.
    pub tokens_found: Counter,
    /// Unknown tokens.
    pub tokens_unknown: Counter,
    /// Requests of clients that were not admitted.
    pub denied: Counter,
    /// Requests whose lookup failed.
    pub lookups_failed: Counter,
    /// Names that were looked up, by [`Resolve`].
    pub resolves: Labelled<{ Resolve::NAMES.len() }>,
    /// How long that took.
    pub resolve_times: Histogram<{ TIMES.len() }>,
    /// Dials, by [`Dial`].
    pub dials: Labelled<{ Dial::NAMES.len() }>,
    /// Durations of the dials that reached a target, from the 101 on.
    pub dial_times: Histogram<{ TIMES.len() }>,
    /// Completed handshakes of TLS clients, by [`Handshake`].
    pub handshakes: Labelled<{ Handshake::NAMES.len() }>,
    /// How long they took.
    pub handshake_times: Histogram<{ TIMES.len() }>,
    /// Pings, by [`Ping`].
    pub pings: Labelled<{ Ping::NAMES.len() }>,
    /// From a ping to its answer.
    pub round_trips: Histogram<{ TIMES.len() }>,
    /// Close frames by [`Closer`], and for each by the index of their code.
    pub closes: [Labelled<{ CLOSE_CODES.len() + 1 }>; Closer::NAMES.len()],
    /// Answered requests by the index of their status, which the caller knows.
    pub responses: Box<[Counter]>,
    /// Bytes of the bodies of the web server's answers.
    pub body_bytes: Counter,
    /// Payload bytes written to targets.
    pub bytes_up: Counter,
    /// Bytes read from targets.
    pub bytes_down: Counter,
    /// Current connections, including those on their way to the reactor.
    pub live: AtomicUsize,
    /// How connections ended, by the kind's index.
    endings: Box<[Counter]>,
}

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        // There is one writer, so nothing is lost between the load and the store, and they cost a tenth of an
        // atomic addition on the data path.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// What has been counted so far.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down. It has one writer, too.
#[derive(Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    pub fn raise(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// One less.
    pub fn lower(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// What it is now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter for each value of a label.
pub struct Labelled<const N: usize>([Counter; N]);

impl<const N: usize> Default for Labelled<N> {
    fn default() -> Labelled<N> {
        Labelled(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Labelled<N> {
    /// Counts one of the value with this index.
    pub fn count(&self, index: usize) {
        if let Some(counter) = self.0.get(index) {
            counter.add(1);
        }
    }

    /// What each value was counted.
    pub fn totals(&self) -> [u64; N] {
        std::array::from_fn(|index| self.0[index].total())
    }
}

/// How many values were not above each bound, and their sum.
pub struct Histogram<const N: usize> {
    bounds: &'static [Duration; N],
    counts: [Counter; N],
    /// Above all bounds.
    above: Counter,
    /// Of all values, in nanoseconds.
    sum_ns: Counter,
}

impl<const N: usize> Histogram<N> {
    /// One with these bounds.
    pub fn new(bounds: &'static [Duration; N]) -> Histogram<N> {
        let counts = std::array::from_fn(|_| Counter::default());
        Histogram { bounds, counts, above: Counter::default(), sum_ns: Counter::default() }
    }

    /// Counts a value.
    pub fn note(&self, value: Duration) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts.get(at).unwrap_or(&self.above).add(1);
        self.sum_ns.add(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many values fell between each bound and the one before it, and above all; and the sum in nanoseconds.
    pub fn read(&self) -> (Vec<u64>, u64) {
        let counts = self.counts.iter().chain([&self.above]);
        (counts.map(Counter::total).collect(), self.sum_ns.total())
    }
}

/// Bounds for sessions.
pub const DURATIONS: &[Duration; 9] = &[
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
    Duration::from_secs(14400),
    Duration::from_secs(43200),
    Duration::from_secs(86400),
];

/// Bounds for what a client waits for.
pub const TIMES: &[Duration; 13] = &[
    Duration::from_micros(1000),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

impl Metrics {
    /// All zero, with room for `kinds` kinds of endings and `statuses` of answers.
    pub fn new(kinds: usize, statuses: usize) -> Metrics {
        let counters = |count| (0..count).map(|_| Counter::default()).collect();
        Metrics {
            accepted: Counter::default(),
            accept_errors: Labelled::default(),
            upgraded: Labelled::default(),
            sessions: Default::default(),
            durations: Histogram::new(DURATIONS),
            stages: Default::default(),
            stalled: Default::default(),
            proxy_headers: Labelled::default(),
            tokens_found: Counter::default(),
            tokens_unknown: Counter::default(),
            denied: Counter::default(),
            lookups_failed: Counter::default(),
            resolves: Labelled::default(),
            resolve_times: Histogram::new(TIMES),
            dials: Labelled::default(),
            dial_times: Histogram::new(TIMES),
            handshakes: Labelled::default(),
            handshake_times: Histogram::new(TIMES),
            pings: Labelled::default(),
            round_trips: Histogram::new(TIMES),
            closes: Default::default(),
            responses: counters(statuses),
            body_bytes: Counter::default(),
            bytes_up: Counter::default(),
            bytes_down: Counter::default(),
            live: AtomicUsize::new(0),
            endings: counters(kinds),
        }
    }

    /// Counts the directions of sessions this way that wait for their receiving end.
    #[inline(always)]
    pub fn stalls(&self, way: Way) -> &Gauge {
        &self.stalled[way as usize]
    }

    /// Counts one ending of the kind with this index.
    pub fn ended(&self, kind: usize) {
        if let Some(counter) = self.endings.get(kind) {
            counter.add(1);
        }
    }

    /// How often each kind of ending was counted.
    pub fn endings(&self) -> impl Iterator<Item = u64> + '_ {
        self.endings.iter().map(Counter::total)
    }

    /// Counts an answer whose status has this index.
    pub fn answered(&self, status: Option<usize>) {
        if let Some(counter) = status.and_then(|index| self.responses.get(index)) {
            counter.add(1);
        }
    }

    /// Counts a Close frame.
    pub fn closed(&self, by: Closer, code: u16) {
        let at = CLOSE_CODES.iter().position(|known| *known == code).unwrap_or(CLOSE_CODES.len());
        self.closes[by as usize].count(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_is_counted_under_its_own_kind() {
        let metrics = Metrics::new(3, 0);
        metrics.ended(0);
        metrics.ended(2);
        metrics.ended(2);
        metrics.ended(9);
        assert_eq!(metrics.endings().collect::<Vec<_>>(), [1, 0, 2]);
    }

    #[test]
    fn a_value_falls_below_the_first_bound_that_is_not_less() {
        let histogram = Histogram::new(TIMES);
        for (value, at) in [
            (Duration::ZERO, 0),
            (Duration::from_millis(1), 0),
            (Duration::from_nanos(1_000_001), 1),
            (Duration::from_secs(10), 12),
            (Duration::from_secs(11), 13),
            (Duration::MAX, 13),
        ] {
            let before = histogram.read().0;
            histogram.note(value);
            let changed: Vec<usize> = (0..14).filter(|&i| histogram.read().0[i] != before[i]).collect();
            assert_eq!(changed, [at], "{value:?}");
        }
        assert!(TIMES.is_sorted() && DURATIONS.is_sorted());
    }

    #[test]
    fn a_code_that_is_not_told_apart_is_another_one() {
        let metrics = Metrics::new(0, 0);
        metrics.closed(Closer::Us, 1011);
        metrics.closed(Closer::Us, 4999);
        assert_eq!(metrics.closes[Closer::Us as usize].totals(), [0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }
}
