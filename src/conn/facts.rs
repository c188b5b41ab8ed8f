//! What is known of a client beyond its socket. Most clients have no facts, and pay eight bytes for that.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::proxy::Proxied;
use crate::secret::Fingerprint;

/// Who is at the other end, as far as a trusted proxy has said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The client's address, as a trusted proxy says it; the port is 0 where it says none. Mapped IPv4 addresses are
    /// IPv4 addresses here.
    pub real: Option<SocketAddr>,
    /// How that is known.
    pub via: Option<Via>,
    /// What a trusted proxy calls the request: printable ASCII, at most [`REQUEST_ID_MAX`](crate::proxy::REQUEST_ID_MAX) bytes.
    pub request_id: Option<Box<str>>,
    /// What stands for the token that its session was granted for.
    pub token: Option<Fingerprint>,
    /// What the PROXY header of the connection says.
    pub proxied: Option<Box<Proxied>>,
    /// Whom the client has proven to be: the name that goes with its password, or the common name of its certificate.
    pub user: Option<Arc<str>>,
    /// Why its session's target could not be reached, where logs tell that at the session's end.
    pub failure: Option<Box<str>>,
}

/// How a client's real address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// From the PROXY header that its connection begins with.
    ProxyProtocol,
    /// From a header field of its request.
    ForwardedHeader,
}

impl Via {
    /// The word for it in logs.
    pub fn name(self) -> &'static str {
        match self {
            Via::ProxyProtocol => "proxy-protocol",
            Via::ForwardedHeader => "forwarded-header",
        }
    }
}
