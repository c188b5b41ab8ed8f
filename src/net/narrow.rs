//! Little may wait on the way to a far client, so that a target's latest bytes are not queued behind
//! everything before. The client's socket holds little unsent, and the socket of a near target little that
//! nobody has read.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::tuning::{UNREAD_BYTES_MAX, UNSENT_BYTES_MAX, is_near, unbinds, wish};
use crate::sys;

/// Whether a client is so far away that the data in flight to it is kept small.
pub fn is_far(tcp: &TcpStream) -> bool {
    sys::round_trip(tcp.as_fd()).is_ok_and(|time| time >= FAR)
}

/// Bounds what waits unsent to this many bytes; `None` is the usual bound.
pub fn bound_unsent(tcp: &TcpStream, bytes: Option<usize>) {
    let bytes = bytes.map_or(UNSENT_BYTES_MAX, |bytes| u32::try_from(bytes).unwrap_or(UNSENT_BYTES_MAX));
    wish("TCP_NOTSENT_LOWAT", SockRef::from(tcp).set_tcp_notsent_lowat(bytes));
}

/// How much may be written until the usual bound of unsent bytes is reached.
pub fn room(tcp: &TcpStream) -> usize {
    (UNSENT_BYTES_MAX as usize).saturating_sub(sys::unsent(tcp.as_fd()).unwrap_or(0))
}

/// Like `TcpStream::connect`, with a small receive buffer, but a window that can grow: with a size that is
/// locked while it connects, it never could.
///
/// # Errors
/// The system's.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if unbinds(socket.as_fd()) {
        wish("SO_RCVBUF", socket.set_recv_buffer_size(SMALL_BYTES));
        wish("SO_BUF_LOCK", sys::lock_receive_buffer(socket.as_fd(), false));
    }
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Keeps the receive buffer of a near target as small as it began, and returns true; that of a far one may
/// grow.
pub fn keep_small(tcp: &TcpStream) -> bool {
    // The kernel doubles the size that is set, and reports the doubled one.
    let is_small = SockRef::from(tcp).recv_buffer_size().is_ok_and(|bytes| bytes <= 2 * SMALL_BYTES);
    is_small && is_near(tcp) && sys::lock_receive_buffer(tcp.as_fd(), true).is_ok()
}

/// Bounds what such a target can send that is not read to this many bytes; `None` is the usual bound.
pub fn bound_unread(tcp: &TcpStream, bytes: Option<usize>) {
    let bytes = bytes.unwrap_or(UNREAD_BYTES_MAX);
    wish("SO_RCVBUF", SockRef::from(tcp).set_recv_buffer_size(bytes));
    // The initial buffer has bounded the window, too.
    wish("TCP_WINDOW_CLAMP", sys::set_window_clamp(tcp.as_fd(), 2 * bytes));
}

/// How much the target of a far client may send at first before it is read (SO_RCVBUF).
const SMALL_BYTES: usize = 3 * 1024;

/// A client that answers after this is far.
const FAR: Duration = Duration::from_millis(5);
