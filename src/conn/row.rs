//! What a list of sessions says of one, which sessions are meant, and why one is ended from outside.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::id::{ConnId, Side};
use crate::rules::Net;

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
    /// The Unix socket that it came by, if that is what the socket is.
    pub unix: Option<String>,
    /// How the client's address is known.
    pub via: &'static str,
    /// Where it goes, without what would tell a token.
    pub target: String,
    /// What stands for its token.
    pub token: Option<String>,
    /// What a proxy calls its request.
    pub request_id: Option<Box<str>>,
    /// Time since it was granted.
    pub age: Duration,
    /// Payload bytes up and down.
    pub bytes: (u64, u64),
    /// Time since payload was moved last, up and down.
    pub idle: (Duration, Duration),
    /// From the last ping that was answered to its answer.
    pub round_trip: Option<Duration>,
    /// The end that takes nothing now.
    pub stalled: Option<Side>,
    /// Bytes that are held for ends that do not read.
    pub held_bytes: usize,
    /// Until when its token is good.
    pub expires: Option<SystemTime>,
}

/// What is known of a client's TLS session.
#[derive(Clone, Debug)]
pub struct Tls {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The suite, as IANA calls it.
    pub suite: String,
    /// The common name in the certificate that the client has shown.
    pub common_name: Option<String>,
}

/// Which sessions are meant: those for which all of this holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The client's address is one of these.
    pub address: Option<Net>,
    /// It goes there.
    pub target: Option<String>,
    /// Its token has this hash.
    pub token: Option<String>,
    /// No payload has moved for so long.
    pub idle_over: Option<Duration>,
    /// An end takes nothing now.
    pub stalled: bool,
}

/// By what the best of a list are chosen: the most of it come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Bytes moved.
    Bytes,
    /// Time since the grant.
    Age,
    /// Time without payload.
    Idle,
}

/// What the client of a session is told that the operator ends.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// The code of the Close frame.
    pub code: u16,
    /// Its reason. These are our words, never those of whoever asks.
    pub reason: &'static str,
}
