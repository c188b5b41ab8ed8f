//! What is known about a client beyond its socket. Most clients have no facts, which costs them eight bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::proxy::Proxied;
use crate::secret::Fingerprint;

/// Who is at the other end, as far as a trusted proxy has said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The client's address according to a trusted proxy; the port is 0 if it gave none. Mapped IPv4
    /// addresses are IPv4 addresses here.
    pub real: Option<SocketAddr>,
    /// How that is known.
    pub via: Option<Via>,
    /// What a trusted proxy calls the request: printable ASCII, at most [`REQUEST_ID_MAX`](crate::proxy::REQUEST_ID_MAX) bytes.
    pub request_id: Option<Box<str>>,
    /// The fingerprint of the token that its session was granted for.
    pub token: Option<Fingerprint>,
    /// What the PROXY header of the connection says.
    pub proxied: Option<Box<Proxied>>,
    /// The authenticated user: the name that belongs to its password, or the common name in its certificate.
    pub user: Option<Arc<str>>,
    /// Why its session's target could not be reached, if that is logged at the session's end.
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
    /// The word for it in logs and for administrators.
    pub fn name(self) -> &'static str {
        match self {
            Via::ProxyProtocol => "proxy-protocol",
            Via::ForwardedHeader => "header",
        }
    }
}
