//! The client's end of a connection, plain or TLS, with the manners of `poll::Socket`: readiness is sticky,
//! a read says `None` when there is nothing, a write says how much was taken.
//!
//! TLS is rustls's buffered session. Its handshake needs no code here: what is written before it is done
//! waits in the session, and whatever reading makes due is sent at once.

use crate::e2e::poll::{Ready, Socket};
use rustls::pki_types::{IpAddr, ServerName};
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Where lines lead, and whether they are TLS.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) addr: SocketAddr,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// One connection.
pub(crate) struct Line {
    socket: Socket,
    tls: Option<Box<Tls>>,
}

struct Tls {
    session: ClientConnection,
    /// Read from the socket, and how much of it the session has taken.
    sealed: Vec<u8>,
    taken: usize,
    /// The session may hold plaintext, or the end of it, that nobody has read.
    has_more: bool,
}

impl Dialer {
    /// A line over a stream that is connected or connecting.
    pub(crate) fn line(&self, stream: TcpStream) -> io::Result<Line> {
        let tls = match &self.tls {
            None => None,
            Some(config) => {
                let name = ServerName::IpAddress(IpAddr::from(self.addr.ip()));
                let mut session =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                session.set_buffer_limit(Some(UNSENT_MAX));
                Some(Box::new(Tls { session, sealed: Vec::new(), taken: 0, has_more: false }))
            }
        };
        Ok(Line { socket: Socket::new(stream), tls })
    }
}

impl Line {
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.socket.stream
    }

    /// Takes an event to heart, and sends what waits if there is room again.
    pub(crate) fn note(&mut self, ready: Ready) -> io::Result<()> {
        self.socket.note(ready);
        if let Some(tls) = &mut self.tls {
            tls.flush(&mut self.socket)?;
        }
        Ok(())
    }

    /// Sets both bits by hand, for a stream that blocks.
    pub(crate) fn set_ready(&mut self, ready: bool) {
        self.socket.readable = ready;
        self.socket.writable = ready;
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.socket.readable || self.tls.as_ref().is_some_and(|tls| tls.has_more || tls.has_sealed())
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.socket.writable
    }

    /// True when the socket has taken all that was written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.session.wants_write())
    }

    /// `None`: nothing to read now. `Some(0)`: the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => tls.read(&mut self.socket, buffer),
        }
    }

    /// How many bytes were taken. Fewer than all: there is no room until an event says otherwise.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        tls.flush(&mut self.socket)?;
        if tls.session.wants_write() && !tls.session.is_handshaking() {
            return Ok(0);
        }
        let taken = tls.session.writer().write(bytes)?;
        tls.flush(&mut self.socket)?;
        Ok(taken)
    }

    /// Writes a few bytes, for which there has to be room.
    pub(crate) fn write_small(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.write(bytes)? == bytes.len() {
            true => Ok(()),
            false => Err(io::Error::other("a socket had no room for a small message")),
        }
    }
}

impl Tls {
    fn has_sealed(&self) -> bool {
        self.taken < self.sealed.len()
    }

    fn read(&mut self, socket: &mut Socket, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.session.reader().read(buffer) {
                Ok(count) => {
                    // Perhaps only the end, which is no event of the socket any more.
                    self.has_more = true;
                    return Ok(Some(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.has_more = false,
                // A FIN without close_notify ends the stream, too.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Some(0)),
                Err(error) => return Err(error),
            }
            if !self.has_sealed() {
                self.taken = 0;
                self.sealed = Vec::new();
                if !socket.readable {
                    return Ok(None);
                }
                self.sealed.reserve(SEALED_BYTES);
                if socket.read_onto(&mut self.sealed)?.is_none() {
                    return Ok(None);
                }
            }
            self.taken += self.session.read_tls(&mut &self.sealed[self.taken..])?;
            self.session.process_new_packets().map_err(io::Error::other)?;
            self.flush(socket)?;
        }
    }

    fn flush(&mut self, socket: &mut Socket) -> io::Result<()> {
        while self.session.wants_write() && socket.writable {
            match self.session.write_tls(&mut socket.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Bytes that a session keeps for a socket that takes nothing.
const UNSENT_MAX: usize = 256 * 1024;

/// What one read of a TLS socket may bring.
const SEALED_BYTES: usize = 64 * 1024;
