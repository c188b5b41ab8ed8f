//! A session's row in a list, filters and orders of lists, and how an operator ends a session.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;

use crate::id::{ConnId, Side};

/// A session as it is at one moment, in bytes of its own.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name in its reactor.
    pub id: ConnId,
    /// `connecting`, `open` or `closing`.
    pub state: &'static str,
    /// Whether the client speaks TLS: the version and the suite, and the name in its certificate.
    pub tls: Option<Tls>,
    /// The client's address, the real one where it is known; `None` for a Unix socket.
    pub client: Option<(IpAddr, Option<u16>)>,
    /// What the socket says.
    pub peer: Option<SocketAddr>,
    /// The Unix socket that it came through, if it did.
    pub unix: Option<String>,
    /// How the client's address is known.
    pub via: &'static str,
    /// Where it goes, without anything that would reveal a token.
    pub target: String,
    /// Its token's fingerprint.
    pub token: Option<String>,
    /// Whom its client has proven to be.
    pub identity: Option<Arc<str>>,
    /// What a proxy calls its request.
    pub request_id: Option<Box<str>>,
    /// Time since it was granted.
    pub age: Duration,
    /// Payload bytes up and down.
    pub bytes: (u64, u64),
    /// Time since payload was moved last, up and down.
    pub idle: (Duration, Duration),
    /// The round-trip time of the last ping that was answered.
    pub round_trip: Option<Duration>,
    /// The end that is not reading, if any.
    pub stalled: Option<Side>,
    /// Bytes that are held for ends that do not read.
    pub held_bytes: usize,
    /// When its token expires.
    pub expires: Option<SystemTime>,
}

/// A client's TLS session.
#[derive(Clone, Debug)]
pub struct Tls {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The suite, as IANA calls it.
    pub suite: String,
    /// The common name in the certificate that the client has shown.
    pub common_name: Option<String>,
}

/// A filter: it matches sessions for which all of this holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The client's address is one of these.
    pub address: Option<IpNet>,
    /// It goes there.
    pub target: Option<String>,
    /// Its token has this hash.
    pub token: Option<String>,
    /// The client has proven to be this one.
    pub identity: Option<String>,
    /// No payload has moved for this long.
    pub idle_over: Option<Duration>,
    /// An end is not reading.
    pub stalled: bool,
}

/// The order of a sorted list; the largest come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Bytes moved.
    Bytes,
    /// Time since the grant.
    Age,
    /// Time without payload.
    Idle,
}

/// What a client is told when the operator ends its session.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// The code of the Close frame.
    pub code: u16,
    /// Its reason. These are our words, never those of whoever asks.
    pub reason: &'static str,
}
