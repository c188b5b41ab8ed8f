//! How a dial begins and what can become of it, with the words for that.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use socket2::SockRef;

use crate::conn::cx::Cx;
use crate::conn::end::End;
use crate::id::Side;
use crate::net::socket::{Io, Socket, tune_tcp};
use crate::net::transport::Transport;
use crate::resolve::Unresolved;

/// How a dial ended.
#[derive(Debug)]
pub enum Dialled {
    /// The target is there.
    Connected(Transport),
    /// It is not, and this is what to tell the operator.
    Failed(Failure),
    /// What is kept of the client ends its frames, and nothing for the target came before that.
    Leaving,
    /// The client's stream has ended, likewise.
    Left(End),
}

/// Why there is no connection to a target.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be reached.
    Unreachable(String),
    /// It may not be dialled.
    NotAllowed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(why) => f.write_str(why),
            Failure::NotAllowed(why) => write!(f, "not allowed: {why}"),
        }
    }
}

pub(super) fn dial_tcp(address: SocketAddr, cx: &Cx<'_>) -> io::Result<Socket> {
    let stream = TcpStream::connect(address)?;
    let options = SockRef::from(&stream);
    tune_tcp(&options, Some(address.ip()))?;
    // Urgent data (telnet servers send it) comes in its place in the stream instead of being lost.
    options.set_out_of_band_inline(true)?;
    let mut socket = Socket::connecting(Io::Tcp(stream));
    socket.register(cx.registry, cx.id.token(Side::Target))?;
    Ok(socket)
}

/// A connected socket may have been readable before; it is tried once.
pub(super) fn ready(mut socket: Transport) -> Transport {
    socket.note_ready(true, true, false);
    socket
}

pub(super) fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

pub(super) fn timed_out() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}

pub(super) fn unresolved(error: &Unresolved) -> String {
    format!("[Errno -2] {error}")
}
