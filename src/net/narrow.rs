//! What may wait on the way to a far client: little, so that what a target says last is not behind all that it said
//! before. The client's socket holds little unsent, and the socket of a near target little that nobody has read.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::tuning::{UNREAD_BYTES_MAX, UNSENT_BYTES_MAX, is_near, unbinds, wish};
use crate::sys;

/// Whether a client is so far away that bytes for it are best held back.
pub fn is_far(tcp: &TcpStream) -> bool {
    sys::round_trip(tcp.as_fd()).is_ok_and(|time| time >= FAR)
}

/// Bounds what waits unsent to this many bytes; `None` is the usual bound.
pub fn bound_unsent(tcp: &TcpStream, bytes: Option<usize>) {
    let bytes = bytes.map_or(UNSENT_BYTES_MAX, |bytes| u32::try_from(bytes).unwrap_or(UNSENT_BYTES_MAX));
    wish("TCP_NOTSENT_LOWAT", SockRef::from(tcp).set_tcp_notsent_lowat(bytes));
}

/// How much may be written until as much waits unsent as usually may.
pub fn room(tcp: &TcpStream) -> usize {
    (UNSENT_BYTES_MAX as usize).saturating_sub(sys::unsent(tcp.as_fd()).unwrap_or(0))
}

/// As `TcpStream::connect`, with a small buffer for what is not read, and yet a window that can grow: with a size that
/// is fixed when it connects, it never can.
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

/// Lets the buffer of a near target stay as small as it has begun, true then; that of a far one grows with what it
/// sends.
pub fn keep_small(tcp: &TcpStream) -> bool {
    // The system makes twice as much of a size, and tells that.
    let is_small = SockRef::from(tcp).recv_buffer_size().is_ok_and(|bytes| bytes <= 2 * SMALL_BYTES);
    is_small && is_near(tcp) && sys::lock_receive_buffer(tcp.as_fd(), true).is_ok()
}

/// Bounds what such a target can send that is not read to this many bytes; `None` is the usual bound.
pub fn bound_unread(tcp: &TcpStream, bytes: Option<usize>) {
    let bytes = bytes.unwrap_or(UNREAD_BYTES_MAX);
    wish("SO_RCVBUF", SockRef::from(tcp).set_recv_buffer_size(bytes));
    // The buffer with which the connection began has bounded the window, too.
    wish("TCP_WINDOW_CLAMP", sys::set_window_clamp(tcp.as_fd(), 2 * bytes));
}

/// What the target of a far client may send at first that nobody reads (SO_RCVBUF).
const SMALL_BYTES: usize = 3 * 1024;

/// A client that answers after this is far.
const FAR: Duration = Duration::from_millis(5);
