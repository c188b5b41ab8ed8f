//! The port that a wrapped program is moved to.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A loopback port that nobody else gets while this lives: sockets that are bound and do not listen hold it at 127.0.0.1
/// and, where there is IPv6, at ::1. Beside them the wrapped program can bind the port and listen, because all of its
/// sockets have `SO_REUSEADDR` (socket(7)); the preloaded library sets it. The system itself does not hand the port
/// out again, and a connection to it is refused until the program listens.
#[derive(Debug)]
pub struct Reserved {
    port: u16,
    _sockets: Vec<Socket>,
}

/// How many ports are tried. The system picks one that is free at 127.0.0.1, and seldom one that is taken at ::1.
const TRIES: usize = 64;

impl Reserved {
    /// Takes a port of the system's choice. What listens on a port of its own does so first, or it might be this one.
    ///
    /// # Errors
    /// The system's: no port is free, or no descriptor.
    pub fn new() -> io::Result<Reserved> {
        let mut last = None;
        for _ in 0..TRIES {
            let v4 = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let address = v4.local_addr()?.as_socket();
            let port = address.ok_or_else(|| io::Error::other("the socket has no port"))?.port();
            match bound(SocketAddr::from((Ipv6Addr::LOCALHOST, port))) {
                Ok(v6) => return Ok(Reserved { port, _sockets: vec![v4, v6] }),
                Err(error) if error.kind() == ErrorKind::AddrInUse => last = Some(error),
                Err(error) if has_no_ipv6(&error) => return Ok(Reserved { port, _sockets: vec![v4] }),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| ErrorKind::AddrInUse.into()))
    }

    /// The number of the port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A socket that holds this address and lets another one listen there.
fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Bound before the option is set, so that nobody else holds this port in the same way.
    socket.bind(&address.into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Whether there is no IPv6 here, or no ::1.
fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}
