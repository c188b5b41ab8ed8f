//! A non-blocking socket that is registered once and remembers what it was ready for.
//!
//! mio reports edges on epoll. An event sets the readable and writable bits here; only `WouldBlock` clears
//! them. Nothing is ever re-armed, so no re-arming can be forgotten, and what a connection does next never
//! depends on which event woke it.

use std::any::Any;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, SendFlags};

use super::{narrow, tuning};
use crate::proxy::Addresses;
use crate::sys;

/// One end of a connection: a stream and its sticky readiness.
#[derive(Debug)]
pub struct Socket {
    io: Io,
    bits: u8,
}

/// What carries the bytes.
#[derive(Debug)]
pub enum Io {
    /// TCP, over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
    /// A socket whose other end is a program's standard input and output, and the program's place.
    Program(Box<(UnixStream, Place)>),
    /// Anything else that behaves like a stream; the scripted sockets of tests and fuzz targets.
    Other(Box<OtherStream>),
}

/// A stream of another kind, behind a thin pointer: an idle session has room for two.
pub type OtherStream = Box<dyn Stream>;

/// Dropped after the socket is closed.
pub type Place = Box<dyn Any + Send>;

/// A byte stream that never blocks: it answers `WouldBlock` instead.
pub trait Stream: Read + Write + Send + std::fmt::Debug {
    /// Ends the writing side.
    fn shutdown_write(&mut self) -> io::Result<()>;
    /// Bytes written that the peer has not taken yet.
    fn unacknowledged(&self) -> usize;
    /// Repetitions without an answer, as [`Socket::unanswered`] has them.
    fn unanswered(&self) -> u8 {
        0
    }
}

/// How a read ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// This many bytes came, at least one.
    Data(usize),
    /// Nothing now; an event will come when there is something.
    Blocked,
    /// The peer has ended its writing side.
    Eof,
}

impl Io {
    /// Anything that behaves like a stream.
    pub fn other(stream: impl Stream + 'static) -> Io {
        Io::Other(Box::new(Box::new(stream)))
    }
}

impl Socket {
    /// A socket that is taken to be writable, and readable once an event says so.
    pub fn new(io: Io) -> Socket {
        let short_reads = if matches!(io, Io::Tcp(_)) { SHORT_READS } else { 0 };
        Socket { io, bits: WRITABLE | short_reads }
    }

    /// A socket that is still connecting: neither readable nor writable until an event says so.
    pub fn connecting(io: Io) -> Socket {
        let mut socket = Socket::new(io);
        socket.bits &= !WRITABLE;
        socket
    }

    /// A place for a socket: it is never ready.
    pub fn none() -> Socket {
        Socket { io: Io::other(Nothing), bits: 0 }
    }

    /// The round-trip time to the peer, as the kernel has measured it; `None` if this is not TCP.
    pub fn round_trip(&self) -> Option<Duration> {
        match &self.io {
            Io::Tcp(tcp) => sys::round_trip(tcp.as_fd()).ok().filter(|time| !time.is_zero()),
            Io::Unix(_) | Io::Program(_) | Io::Other(_) => None,
        }
    }

    /// The peer's address; `None` if this is not TCP, or no longer connected (getpeername(2)).
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match &self.io {
            Io::Tcp(tcp) => tcp.peer_addr().ok(),
            Io::Unix(_) | Io::Program(_) | Io::Other(_) => None,
        }
    }

    /// Registers the socket under `token`, once for its life. That ends when the last descriptor of the socket is
    /// closed, and nothing ends it before: a child that was forked has another until it executes its program, and
    /// who passed the socket to this process may have one for as long as it likes. What is reported until then names
    /// a connection that is gone, and each edge only once.
    ///
    /// # Errors
    /// The system's, for instance when its limit of watched descriptors is reached.
    pub fn register(&mut self, registry: &Registry, token: usize) -> io::Result<()> {
        let interests = Interest::READABLE | Interest::WRITABLE;
        match &mut self.io {
            // Urgent data ends a read early, so the socket has to hear of it (see `note`).
            Io::Tcp(tcp) => registry.register(tcp, Token(token), interests | Interest::PRIORITY),
            Io::Unix(unix) => registry.register(unix, Token(token), interests),
            Io::Program(program) => registry.register(&mut program.0, Token(token), interests),
            Io::Other(_) => Ok(()),
        }
    }

    /// Applies an event to the readiness bits.
    pub fn note(&mut self, event: &Event) {
        let closed = event.is_error() || event.is_read_closed() || event.is_write_closed();
        if event.is_readable() || closed {
            self.bits |= READABLE;
        }
        if event.is_writable() || closed {
            self.bits |= WRITABLE;
        }
        // For a TCP socket a hang-up means a reset. A Unix socket hangs up whenever its peer has closed it,
        // and may still hold what the peer had sent.
        if event.is_error() || (event.is_write_closed() && matches!(self.io, Io::Tcp(_))) {
            self.bits |= HUNG_UP;
        }
        // A short read means "drained" only if neither an end nor urgent data can have cut it short.
        if closed || event.is_priority() {
            self.bits &= !SHORT_READS;
        }
    }

    /// Applies readiness that did not come as a mio event.
    pub fn note_ready(&mut self, readable: bool, writable: bool, hung_up: bool) {
        self.bits |= if readable || hung_up { READABLE } else { 0 };
        self.bits |= if writable || hung_up { WRITABLE } else { 0 };
        if hung_up {
            self.bits |= HUNG_UP;
            self.bits &= !SHORT_READS;
        }
    }

    /// Both addresses of an accepted TCP connection; `None` for a Unix socket, or if it is broken.
    pub fn addresses(&self) -> Option<Addresses> {
        let Io::Tcp(tcp) = &self.io else { return None };
        Some(Addresses { source: tcp.peer_addr().ok()?, destination: tcp.local_addr().ok()? })
    }

    /// What carries the bytes, for moving them without reading them.
    pub(super) fn io(&self) -> &Io {
        &self.io
    }

    /// Notes that a write was refused.
    pub(super) fn note_full(&mut self) {
        self.bits &= !WRITABLE;
    }

    /// Whether this is a TCP socket.
    pub fn is_tcp(&self) -> bool {
        matches!(self.io, Io::Tcp(_))
    }

    /// Whether a read may bring something.
    pub fn is_readable(&self) -> bool {
        self.bits & READABLE != 0
    }

    /// Whether a write may take something.
    pub fn is_writable(&self) -> bool {
        self.bits & WRITABLE != 0
    }

    /// Whether the system has reported that the connection is broken.
    pub fn is_hung_up(&self) -> bool {
        self.bits & HUNG_UP != 0
    }

    /// Reads into `space`, which must not be empty.
    ///
    /// # Errors
    /// The system's; `WouldBlock` and `Interrupted` never come out of here.
    pub fn read(&mut self, space: &mut [u8]) -> io::Result<ReadEnd> {
        loop {
            let result = match &mut self.io {
                Io::Tcp(tcp) => receive(tcp, space),
                Io::Unix(unix) => unix.read(space),
                Io::Program(program) => program.0.read(space),
                Io::Other(other) => other.read(space),
            };
            return match result {
                Ok(0) => Ok(ReadEnd::Eof),
                Ok(count) => {
                    if count < space.len() && self.bits & SHORT_READS != 0 {
                        self.bits &= !READABLE;
                    }
                    Ok(ReadEnd::Data(count))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.bits &= !READABLE;
                    Ok(ReadEnd::Blocked)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Writes as much of `bytes` as the socket takes now, and returns how much that was.
    ///
    /// # Errors
    /// The system's; `WouldBlock` and `Interrupted` never come out of here.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let apart = if self.bits & APART == 0 { SendFlags::empty() } else { SendFlags::EOR };
        self.write_with(bytes, SendFlags::NOSIGNAL | apart)
    }

    /// The same for bytes after which the writing side is shut down at once: they and the FIN then leave in
    /// one packet (send(2) with MSG_MORE), which costs us and the peer's system half as much.
    ///
    /// # Errors
    /// As those of [`Socket::write`].
    pub fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(bytes, SendFlags::NOSIGNAL | SendFlags::MORE)
    }

    #[inline(always)]
    fn write_with(&mut self, bytes: &[u8], flags: SendFlags) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() && self.is_writable() {
            let rest = &bytes[written..];
            let result = match &mut self.io {
                Io::Tcp(tcp) => rustix::net::send(tcp, rest, flags).map_err(io::Error::from),
                Io::Unix(unix) => unix.write(rest),
                Io::Program(program) => program.0.write(rest),
                Io::Other(other) => other.write(rest),
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.bits &= !WRITABLE,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Ends the writing side, after everything that was written (shutdown(2) with SHUT_WR).
    pub fn shutdown_write(&mut self) {
        // It fails only if the peer is gone already.
        let _ = match &mut self.io {
            Io::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Io::Unix(unix) => unix.shutdown(Shutdown::Write),
            Io::Program(program) => program.0.shutdown(Shutdown::Write),
            Io::Other(other) => other.shutdown_write(),
        };
    }

    /// Bytes written that the peer's side has not acknowledged; 0 when the system does not say.
    pub fn unacknowledged(&self) -> usize {
        match &self.io {
            Io::Tcp(tcp) => sys::unacknowledged(tcp.as_fd()).unwrap_or(0),
            Io::Unix(unix) => sys::unacknowledged(unix.as_fd()).unwrap_or(0),
            Io::Program(program) => sys::unacknowledged(program.0.as_fd()).unwrap_or(0),
            Io::Other(other) => other.unacknowledged(),
        }
    }

    /// How many retransmissions or probes the peer has not answered; 0 if unknown, as for Unix sockets, whose
    /// peers are on this machine.
    pub fn unanswered(&self) -> u8 {
        match &self.io {
            Io::Tcp(tcp) => sys::unanswered(tcp.as_fd()).unwrap_or(0),
            Io::Unix(_) | Io::Program(_) => 0,
            Io::Other(other) => other.unanswered(),
        }
    }

    /// As [`tuning::bound_unread`].
    pub fn bound_unread(&self) {
        if let Io::Tcp(tcp) = &self.io {
            tuning::bound_unread(tcp);
        }
    }

    /// As [`narrow::bound_unread`].
    pub fn bound_unread_to(&self, bytes: Option<usize>) {
        if let Io::Tcp(tcp) = &self.io {
            narrow::bound_unread(tcp, bytes);
        }
    }

    /// As [`narrow::bound_unsent`].
    pub fn bound_unsent(&mut self, bytes: Option<usize>) {
        if let Io::Tcp(tcp) = &self.io {
            narrow::bound_unsent(tcp, bytes);
            self.bits = if bytes.is_some() { self.bits | APART } else { self.bits & !APART };
        }
    }

    /// As [`narrow::room`]; none is known of but TCP's.
    pub fn room(&self) -> usize {
        if let Io::Tcp(tcp) = &self.io { narrow::room(tcp) } else { 0 }
    }

    /// As [`narrow::keep_small`].
    pub fn keep_unread_small(&self) -> bool {
        matches!(&self.io, Io::Tcp(tcp) if narrow::keep_small(tcp))
    }

    /// As [`narrow::is_far`]; nobody but a TCP peer is.
    pub fn is_far(&self) -> bool {
        matches!(&self.io, Io::Tcp(tcp) if narrow::is_far(tcp))
    }

    /// As [`tuning::unbind`]. A write may take more afterwards.
    pub fn unbind(&mut self) {
        if let Io::Tcp(tcp) = &self.io {
            tuning::unbind(tcp);
            self.bits = (self.bits | WRITABLE) & !APART;
        }
    }

    /// Whether a dial has finished: `Ok(true)` connected, `Ok(false)` not yet.
    ///
    /// # Errors
    /// Why it failed.
    pub fn connected(&self) -> io::Result<bool> {
        // A dial that failed reports an error with its first event.
        if !self.is_hung_up() {
            return Ok(self.is_writable());
        }
        match &self.io {
            Io::Tcp(tcp) => {
                if let Some(error) = tcp.take_error()? {
                    return Err(error);
                }
                match tcp.peer_addr() {
                    Ok(_) => Ok(true),
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
                    Err(error) => Err(error),
                }
            }
            Io::Unix(unix) => match unix.take_error()? {
                Some(error) => Err(error),
                None => Ok(true),
            },
            Io::Program(_) | Io::Other(_) => Ok(self.is_writable()),
        }
    }
}

/// recv(2), without the C library's checks for thread cancellation.
fn receive(tcp: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(tcp, space, RecvFlags::empty())?;
    Ok(count)
}

/// The stream of [`Socket::none`].
#[derive(Debug)]
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

impl Write for Nothing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Nothing {
    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn unacknowledged(&self) -> usize {
        0
    }
}

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// An error or a hang-up was reported.
const HUNG_UP: u8 = 4;
/// A read that does not fill its space has drained the socket, so the read that would say `WouldBlock` is
/// saved. True for TCP until an end or urgent data is reported: those cut a read short, too.
const SHORT_READS: u8 = 8;
/// Each write ends a segment (send(2) with MSG_EOR). The system asks whether too much waits unsent only when a segment
/// begins, and one may grow to 64 KiB.
const APART: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::{Scripted, Step};

    #[test]
    fn only_would_block_clears_readiness() {
        let (stream, _) = Scripted::new([Step::Data(b"abc"), Step::Block], [Step::Room(2), Step::Block]);
        let mut socket = Socket::new(Io::other(stream));
        assert!(!socket.is_readable() && socket.is_writable());
        socket.note_ready(true, false, false);
        let mut space = [0; 8];
        assert_eq!(socket.read(&mut space).expect("data"), ReadEnd::Data(3));
        assert!(socket.is_readable(), "a short read of a stream that is not TCP proves nothing");
        assert_eq!(socket.read(&mut space).expect("nothing"), ReadEnd::Blocked);
        assert!(!socket.is_readable());
        assert_eq!(socket.write(b"xyz").expect("room for two"), 2);
        assert!(!socket.is_writable());
        assert_eq!(socket.write(b"z").expect("not tried"), 0);
    }
}
