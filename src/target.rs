//! Where the bytes of a session go: a TCP address by name or number, or a Unix socket.

use std::fmt;
use std::path::PathBuf;

/// The far end of a relay, as the operator or a token names it. Names are not resolved here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A host (name, IPv4 or bare IPv6 address, without brackets) and a port.
    Tcp {
        /// Host name or address literal.
        host: String,
        /// TCP port, 1 to 65535.
        port: u16,
    },
    /// A Unix stream socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp { host, port } => write!(f, "{host}:{port}"),
            Target::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
