//! Why a connection ended: the one enum that travels as the `Err` of `?`, is logged once and counted once.

use std::fmt;
use std::io;

use crate::limit::Places;
use crate::log::{Level, describe};
use crate::net::fault::{Broken, Fault};
use crate::proxy;
use crate::ws::decode::Violation;

/// Why a connection ended, in the order of its life.
#[derive(Debug)]
pub enum End {
    /// The client left before it sent anything: a probe of the port.
    Probe,
    /// A trusted proxy's connection does not begin with a PROXY header.
    BadProxyHeader(proxy::Fault),
    /// No first byte came in time.
    Silent,
    /// The maximum number of connections was reached.
    Full(Places),
    /// Its request had not come when another one needed its place.
    Displaced(Places),
    /// The client speaks TLS, and there is no certificate to answer it with.
    NoCertificate,
    /// The TLS handshake timed out.
    SlowTls,
    /// The TLS handshake failed.
    TlsFailed(Fault),
    /// The client left during the TLS handshake.
    HalfTls,
    /// The request head did not come in time.
    SlowRequest,
    /// The client closed the connection during the request head.
    HalfRequest,
    /// The request was answered with an error of HTTP, this status.
    Refused(u16),
    /// The client is not admitted, and got this status.
    Denied(u16),
    /// The client's token is unknown.
    UnknownToken(u16),
    /// Whether the client is admitted, or where its token leads, could not be determined.
    LookupFailed(u16),
    /// The client's plain requests were answered, and no more came.
    Served,
    /// A file could not be read to its end while it was sent: it has shrunk, or is out of reach.
    FileLost,
    /// The target could not be reached.
    Unreachable,
    /// The target that a token named must not be dialled.
    NotAllowed,
    /// The client closed the WebSocket, or its connection without saying so.
    ClientClosed,
    /// The client's connection broke.
    ClientReset(io::ErrorKind),
    /// The client's connection ended without the end of its TLS session: something may be missing.
    ClientCut,
    /// The client broke TLS after the handshake.
    ClientTls(Fault),
    /// The client broke the protocol.
    ClientViolated(Violation),
    /// The client did not answer pings in time.
    ClientSilent,
    /// The client read nothing for too long.
    ClientStalled,
    /// The target ended the connection in order.
    TargetClosed,
    /// The target's connection broke.
    TargetReset,
    /// The target read nothing for too long.
    TargetStalled,
    /// Too many peers had stopped reading, and this one had for the longest time.
    Overcommitted,
    /// The operator has ended the session.
    Killed,
    /// This process is ending.
    Shutdown,
    /// The system refused what the connection needs, a place among the watched descriptors for instance:
    /// with this errno.
    System(i32),
}

/// Who has to act on an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The peer. Nothing for the operator to do.
    Peer,
    /// The operator: a target that does not answer, a limit that is too low.
    Operator,
    /// Nobody: sessions normally end like this.
    Nobody,
}

impl Blame {
    /// How much a line about such an ending matters.
    pub fn level(self) -> Level {
        match self {
            Blame::Operator => Level::Warning,
            Blame::Peer | Blame::Nobody => Level::Info,
        }
    }
}

impl End {
    /// The ending of a session whose client can't be read or written any more.
    pub fn client_lost(broken: Broken) -> End {
        match broken {
            Broken::System(kind) => End::ClientReset(kind),
            Broken::Truncated => End::ClientCut,
            Broken::Tls(fault) => End::ClientTls(fault),
        }
    }

    /// Who ends a session with this ending.
    pub fn by(&self) -> &'static str {
        match self {
            End::ClientClosed | End::ClientReset(_) | End::ClientCut | End::ClientTls(_) => "client",
            End::Probe | End::HalfTls | End::HalfRequest | End::Served => "client",
            End::Unreachable | End::TargetClosed | End::TargetReset => "target",
            End::NotAllowed | End::Shutdown | End::Killed => "operator",
            End::ClientViolated(_) | End::ClientSilent | End::ClientStalled | End::TargetStalled => "gateway",
            End::Overcommitted | End::System(_) | End::FileLost => "gateway",
            End::Silent | End::Full(_) | End::Displaced(_) | End::NoCertificate | End::SlowTls => "gateway",
            End::TlsFailed(_) | End::SlowRequest | End::Refused(_) | End::Denied(_) => "gateway",
            End::BadProxyHeader(_) => "gateway",
            End::UnknownToken(_) | End::LookupFailed(_) => "gateway",
        }
    }

    /// What went wrong, if the name of the ending does not say everything.
    pub fn error(&self) -> Option<String> {
        match self {
            End::ClientReset(kind) => Some(kind.to_string()),
            End::ClientTls(fault) | End::TlsFailed(fault) => Some(fault.to_string()),
            End::ClientViolated(violation) => Some(violation.to_string()),
            End::System(number) => Some(describe(&io::Error::from_raw_os_error(*number))),
            End::Probe
            | End::BadProxyHeader(_)
            | End::Killed
            | End::Silent
            | End::Full(_)
            | End::Displaced(_)
            | End::NoCertificate
            | End::SlowTls
            | End::HalfTls
            | End::SlowRequest
            | End::HalfRequest
            | End::Refused(_)
            | End::Denied(_)
            | End::UnknownToken(_)
            | End::LookupFailed(_)
            | End::Served
            | End::FileLost
            | End::Unreachable
            | End::NotAllowed
            | End::ClientClosed
            | End::ClientCut
            | End::ClientSilent
            | End::ClientStalled
            | End::TargetClosed
            | End::TargetReset
            | End::TargetStalled
            | End::Overcommitted
            | End::Shutdown => None,
        }
    }

    /// Whether a TLS alert has been queued that tells the client why: it must be delivered.
    pub fn owes_alert(&self) -> bool {
        matches!(self, End::TlsFailed(_) | End::ClientTls(_))
    }
}

/// What is said about a session after its target's name, or about a connection that never became one.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Probe => f.write_str("client closed the connection before sending anything"),
            End::BadProxyHeader(fault) => write!(f, "no PROXY header that can be read: {fault}"),
            End::Silent => f.write_str("ignoring socket not ready"),
            End::Full(places) => write!(f, "refused: {places}"),
            End::Displaced(places) => {
                write!(f, "made room for another connection before its request came: {places}")
            }
            End::NoCertificate => f.write_str("SSL connection but no certificate found"),
            End::SlowTls => f.write_str("TLS handshake timed out"),
            End::TlsFailed(fault) => write!(f, "TLS handshake failed: {fault}"),
            End::HalfTls => f.write_str("client left during the TLS handshake"),
            End::SlowRequest => f.write_str("request did not come in time"),
            End::HalfRequest => f.write_str("client closed the connection during the request head"),
            End::Refused(status)
            | End::Denied(status)
            | End::UnknownToken(status)
            | End::LookupFailed(status) => write!(f, "refused with status {status}"),
            End::Served => f.write_str("request served"),
            End::FileLost => f.write_str("a file could not be read to the end"),
            End::Unreachable | End::NotAllowed => f.write_str("Failed to connect"),
            End::ClientClosed => f.write_str("Client closed connection"),
            End::ClientReset(kind) => write!(f, "Client closed connection ({kind})"),
            End::ClientCut => f.write_str("Client closed connection (without ending TLS)"),
            End::ClientTls(fault) => write!(f, "Client broke TLS: {fault}"),
            End::ClientViolated(violation) => write!(f, "Client broke the protocol: {violation}"),
            End::ClientSilent => f.write_str("Client did not answer pings in time"),
            End::ClientStalled => f.write_str("Client read no data for too long"),
            End::TargetClosed => f.write_str("Target closed connection"),
            End::TargetReset => f.write_str("Target closed connection (connection reset)"),
            End::TargetStalled => f.write_str("Target read no data for too long"),
            End::Overcommitted => f.write_str("Ended: --memory-limit reached by data that peers do not read"),
            End::Killed => f.write_str("Ended by the operator"),
            End::Shutdown => f.write_str("Closed by shutdown"),
            End::System(number) => {
                let error = io::Error::from_raw_os_error(*number);
                write!(f, "the system refused: {}", describe(&error))
            }
        }
    }
}

/// One row for each kind of ending: its name and who should look at it. The compiler asks for a row for each
/// variant of [`End`].
macro_rules! kinds {
    ($($kind:ident $(($any:tt))?, $name:literal, $blame:ident;)*) => {
        /// The kinds of [`End`], without what each carries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`: see [`End::", stringify!($kind), "`].")] $kind,)*
        }

        impl Kind {
            /// All kinds, each at its own index (`kind as usize`).
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// Its name in logs and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),* }
            }

            /// Who should look at it, which decides how loudly it is logged.
            pub fn blame(self) -> Blame {
                match self { $(Kind::$kind => Blame::$blame),* }
            }
        }

        impl End {
            /// What it is counted as.
            pub fn kind(&self) -> Kind {
                match self { $(End::$kind $(($any))? => Kind::$kind),* }
            }
        }
    };
}

kinds! {
    Probe, "probe", Nobody;
    BadProxyHeader(_), "bad-proxy-header", Operator;
    Silent, "silent", Peer;
    Full(_), "full", Operator;
    Displaced(_), "displaced", Peer;
    NoCertificate, "no-certificate", Peer;
    SlowTls, "slow-tls", Peer;
    TlsFailed(_), "tls-failed", Peer;
    HalfTls, "half-tls", Peer;
    SlowRequest, "slow-request", Peer;
    HalfRequest, "half-request", Peer;
    Refused(_), "refused", Peer;
    Denied(_), "denied", Peer;
    UnknownToken(_), "unknown-token", Peer;
    LookupFailed(_), "lookup-failed", Operator;
    Served, "served", Nobody;
    FileLost, "file-lost", Operator;
    Unreachable, "unreachable", Operator;
    NotAllowed, "not-allowed", Operator;
    ClientClosed, "client-closed", Nobody;
    ClientReset(_), "client-reset", Peer;
    ClientCut, "client-cut", Peer;
    ClientTls(_), "client-tls", Peer;
    ClientViolated(_), "client-violated", Peer;
    ClientSilent, "client-silent", Peer;
    ClientStalled, "client-stalled", Peer;
    TargetClosed, "target-closed", Nobody;
    TargetReset, "target-reset", Peer;
    TargetStalled, "target-stalled", Operator;
    Overcommitted, "overcommitted", Operator;
    Killed, "killed", Nobody;
    Shutdown, "shutdown", Nobody;
    System(_), "system", Operator;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_index_and_a_name_of_its_own() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
        let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
