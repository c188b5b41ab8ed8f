//! Why a connection ended: the one enum that travels as the `Err` of `?`, is logged once and counted once.

use std::fmt;
use std::io;

use crate::net::tls::Fault;
use crate::net::transport::Broken;
use crate::ws::decode::Violation;

/// Why a connection ended, in the order of its life.
#[derive(Debug)]
pub enum End {
    /// The client left before it sent anything: a probe of the port.
    Probe,
    /// No first byte came in time.
    Silent,
    /// As many connections as allowed were there.
    Full,
    /// The client speaks TLS, and there is no certificate to answer it with.
    NoCertificate,
    /// The TLS handshake did not come to its end in time.
    SlowTls,
    /// The TLS handshake failed.
    TlsFailed(Fault),
    /// The client left during the TLS handshake.
    HalfTls,
    /// The request head did not come in time.
    SlowRequest,
    /// The client left in the middle of its request.
    HalfRequest,
    /// The request was answered with an error of HTTP, this status.
    Refused(u16),
    /// The client's plain requests were answered, and no more came.
    Served,
    /// A file could not be read to its end while it was sent: it has shrunk, or is out of reach.
    FileLost,
    /// The target could not be reached.
    Unreachable,
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
    /// The client answered no ping for too long.
    ClientSilent,
    /// The client took nothing for too long.
    ClientStalled,
    /// The target ended the connection in order.
    TargetClosed,
    /// The target's connection broke.
    TargetReset,
    /// The target took nothing for too long.
    TargetStalled,
    /// Too many peers had stopped reading, and this one had for the longest time.
    Overcommitted,
    /// This process is ending.
    Shutdown,
    /// The system refused what the connection needs, a place among the watched descriptors for instance.
    System(io::ErrorKind),
}

/// Who has to do something about an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever is at the other end. Nothing for the operator to do.
    Peer,
    /// The operator: a target that does not answer, a limit that is too low.
    Operator,
    /// Nobody: it is how sessions end.
    Nobody,
}

impl End {
    /// Number of kinds.
    pub const KINDS: usize = NAMES.len();

    /// The kind's index, for counting; [`End::name`] has the name that goes with it.
    pub fn kind(&self) -> usize {
        match self {
            End::Probe => 0,
            End::Silent => 1,
            End::Full => 2,
            End::NoCertificate => 3,
            End::SlowTls => 4,
            End::TlsFailed(_) => 5,
            End::HalfTls => 6,
            End::SlowRequest => 7,
            End::HalfRequest => 8,
            End::Refused(_) => 9,
            End::Served => 10,
            End::FileLost => 11,
            End::Unreachable => 12,
            End::ClientClosed => 13,
            End::ClientReset(_) => 14,
            End::ClientCut => 15,
            End::ClientTls(_) => 16,
            End::ClientViolated(_) => 17,
            End::ClientSilent => 18,
            End::ClientStalled => 19,
            End::TargetClosed => 20,
            End::TargetReset => 21,
            End::TargetStalled => 22,
            End::Overcommitted => 23,
            End::Shutdown => 24,
            End::System(_) => 25,
        }
    }

    /// Why a session ends whose client can't be read or written any more.
    pub fn client_lost(broken: Broken) -> End {
        match broken {
            Broken::System(kind) => End::ClientReset(kind),
            Broken::Cut => End::ClientCut,
            Broken::Tls(fault) => End::ClientTls(fault),
        }
    }

    /// Whether an alert of TLS is on its way that tells the client why: it has to be delivered.
    pub fn owes_alert(&self) -> bool {
        matches!(self, End::TlsFailed(_) | End::ClientTls(_))
    }

    /// The name of the kind with this index.
    pub fn name(kind: usize) -> &'static str {
        NAMES.get(kind).copied().unwrap_or("unknown")
    }

    /// Who should look at it, which decides how loudly it is logged.
    pub fn blame(&self) -> Blame {
        match self {
            End::ClientClosed | End::TargetClosed | End::Shutdown | End::Probe | End::Served => Blame::Nobody,
            End::Full
            | End::FileLost
            | End::Unreachable
            | End::TargetStalled
            | End::Overcommitted
            | End::System(_) => Blame::Operator,
            _ => Blame::Peer,
        }
    }
}

/// What is said about a session after its target's name, or about a connection that never became one.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Probe => f.write_str("client left without a word"),
            End::Silent => f.write_str("ignoring socket not ready"),
            End::Full => f.write_str("refused, because --max-connections are there"),
            End::NoCertificate => f.write_str("SSL connection but no certificate found"),
            End::SlowTls => f.write_str("TLS handshake did not come to its end in time"),
            End::TlsFailed(fault) => write!(f, "TLS handshake failed: {fault}"),
            End::HalfTls => f.write_str("client left during the TLS handshake"),
            End::SlowRequest => f.write_str("request did not come in time"),
            End::HalfRequest => f.write_str("client left in the middle of its request"),
            End::Refused(status) => write!(f, "refused with status {status}"),
            End::Served => f.write_str("client was served"),
            End::FileLost => f.write_str("a file could not be read to its end"),
            End::Unreachable => f.write_str("Failed to connect"),
            End::ClientClosed => f.write_str("Client closed connection"),
            End::ClientReset(kind) => write!(f, "Client closed connection ({kind})"),
            End::ClientCut => f.write_str("Client closed connection (without ending TLS)"),
            End::ClientTls(fault) => write!(f, "Client broke TLS: {fault}"),
            End::ClientViolated(violation) => write!(f, "Client broke the protocol: {violation}"),
            End::ClientSilent => f.write_str("Client answered no ping for too long"),
            End::ClientStalled => f.write_str("Client took no data for too long"),
            End::TargetClosed => f.write_str("Target closed connection"),
            End::TargetReset => f.write_str("Target closed connection (connection reset)"),
            End::TargetStalled => f.write_str("Target took no data for too long"),
            End::Overcommitted => f.write_str("Ended because too many peers do not read"),
            End::Shutdown => f.write_str("Closed by shutdown"),
            End::System(kind) => write!(f, "the system refused: {kind}"),
        }
    }
}

const NAMES: [&str; 26] = [
    "probe",
    "silent",
    "full",
    "no-certificate",
    "slow-tls",
    "tls-failed",
    "half-tls",
    "slow-request",
    "half-request",
    "refused",
    "served",
    "file-lost",
    "unreachable",
    "client-closed",
    "client-reset",
    "client-cut",
    "client-tls",
    "client-violated",
    "client-silent",
    "client-stalled",
    "target-closed",
    "target-reset",
    "target-stalled",
    "overcommitted",
    "shutdown",
    "system",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::Peer;

    #[test]
    fn every_kind_has_an_index_and_a_name_of_its_own() {
        let kind = io::ErrorKind::Other;
        let ends = [
            End::Probe,
            End::Silent,
            End::Full,
            End::NoCertificate,
            End::SlowTls,
            End::TlsFailed(Fault::new(Peer::Client, rustls::Error::DecryptError)),
            End::HalfTls,
            End::SlowRequest,
            End::HalfRequest,
            End::Refused(400),
            End::Served,
            End::FileLost,
            End::Unreachable,
            End::ClientClosed,
            End::ClientReset(kind),
            End::ClientCut,
            End::ClientTls(Fault::new(Peer::Client, rustls::Error::DecryptError)),
            End::ClientViolated(Violation::Text),
            End::ClientSilent,
            End::ClientStalled,
            End::TargetClosed,
            End::TargetReset,
            End::TargetStalled,
            End::Overcommitted,
            End::Shutdown,
            End::System(kind),
        ];
        let kinds: Vec<usize> = ends.iter().map(End::kind).collect();
        assert_eq!(kinds, (0..End::KINDS).collect::<Vec<_>>());
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), End::KINDS);
    }
}
