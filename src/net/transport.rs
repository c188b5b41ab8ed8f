//! The layer between a connection and its socket: nothing, or TLS. Its users read and write bytes and do not
//! know which.
//!
//! The rings that TLS needs are lent for one call. Sealed bytes that the socket refuses stay here, since they
//! are committed: until [`Transport::flush`] has written them, the transport is not writable.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::fault::{Broken, Fault};
use super::socket::{ReadEnd, Socket};
use super::tls::session::Session;
use super::tls::{self, Tls};
use crate::proxy::Addresses;
use crate::ring::Pool;

/// One end of a connection, plain or not.
#[derive(Debug)]
pub enum Transport {
    /// Bytes go to the socket as they are.
    Plain(Socket),
    /// Bytes are sealed into records, and opened from them.
    Tls(Box<Tls>),
}

impl Transport {
    /// Reads into `space`, which must not be empty.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline(always)]
    pub fn read(&mut self, space: &mut [u8], rings: &mut Pool) -> Result<ReadEnd, Broken> {
        match self {
            Transport::Plain(socket) => Ok(socket.read(space)?),
            Transport::Tls(tls) => tls.read(space, rings),
        }
    }

    /// Writes as much of `bytes` as is taken now, and returns how much that was.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline(always)]
    pub fn write(&mut self, bytes: &[u8], rings: &mut Pool) -> Result<usize, Broken> {
        match self {
            Transport::Plain(socket) => Ok(socket.write(bytes)?),
            Transport::Tls(tls) => tls.write(bytes, rings),
        }
    }

    /// The same for bytes behind which the writing side is ended at once.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn write_last(&mut self, bytes: &[u8], rings: &mut Pool) -> Result<usize, Broken> {
        match self {
            Transport::Plain(socket) => Ok(socket.write_last(bytes)?),
            Transport::Tls(tls) => tls.write(bytes, rings),
        }
    }

    /// Writes accepted bytes that the socket refused; true when none are left.
    ///
    /// # Errors
    /// The connection is broken.
    #[inline(always)]
    pub fn flush(&mut self, rings: &mut Pool) -> Result<bool, Broken> {
        match self {
            Transport::Plain(_) => Ok(true),
            Transport::Tls(tls) => tls.flush(rings),
        }
    }

    /// Bytes that were accepted and not yet written to the socket.
    pub fn unsent(&self) -> usize {
        match self {
            Transport::Plain(_) => 0,
            Transport::Tls(tls) => tls.unsent(),
        }
    }

    /// What keeping those costs, in a whole buffer.
    pub fn held_bytes(&self) -> usize {
        match self {
            Transport::Plain(_) => 0,
            Transport::Tls(tls) => tls.held_bytes(),
        }
    }

    /// Bytes received and not yet read, part of a record for instance.
    #[inline]
    pub fn unread(&self) -> usize {
        match self {
            Transport::Plain(_) => 0,
            Transport::Tls(tls) => tls.unread(),
        }
    }

    /// The most to offer to one write, so that what is held of it stays bounded.
    pub fn write_max(&self) -> usize {
        match self {
            Transport::Plain(_) => usize::MAX,
            Transport::Tls(_) => tls::WRITE_MAX,
        }
    }

    /// Whether a read may bring something.
    pub fn is_readable(&self) -> bool {
        match self {
            Transport::Plain(socket) => socket.is_readable(),
            Transport::Tls(tls) => tls.is_readable(),
        }
    }

    /// Whether everything that came on a plain TCP connection has been read, as far as is known.
    pub fn is_drained(&self) -> bool {
        matches!(self, Transport::Plain(socket) if socket.is_tcp() && !socket.is_readable())
    }

    /// Closes the socket. What was written is delivered by the system.
    pub fn close(&mut self, rings: &mut Pool) {
        self.retire(rings);
        *self = Transport::Plain(Socket::none());
    }

    /// Whether a write may take something.
    pub fn is_writable(&self) -> bool {
        match self {
            Transport::Plain(socket) => socket.is_writable(),
            Transport::Tls(tls) => tls.is_writable(),
        }
    }

    /// Whether the system has reported that the connection is broken.
    pub fn is_hung_up(&self) -> bool {
        self.socket().is_hung_up()
    }

    /// Makes the plain socket of a client a TLS session; `received` is what has been read from it so far.
    ///
    /// # Errors
    /// The configuration can't be used; the socket stays plain.
    pub fn serve_tls(&mut self, config: Arc<ServerConfig>, received: &[u8]) -> Result<(), Fault> {
        self.secure(Session::server(config)?, received);
        Ok(())
    }

    /// Makes the plain socket of a target of this name a TLS session.
    ///
    /// # Errors
    /// The configuration can't be used; the socket stays plain.
    pub fn speak_tls(&mut self, config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<(), Fault> {
        self.secure(Session::client(config, name)?, &[]);
        Ok(())
    }

    fn secure(&mut self, session: Session, received: &[u8]) {
        if let Transport::Plain(socket) = self {
            let socket = std::mem::replace(socket, Socket::none());
            *self = Transport::Tls(Box::new(Tls::new(socket, session, received)));
        }
    }

    /// Continues the TLS handshake, if there is one; true when it is complete.
    ///
    /// # Errors The connection is broken, or the peers can't agree. An alert has then been queued.
    pub fn handshake(&mut self, rings: &mut Pool) -> Result<bool, Broken> {
        match self {
            Transport::Plain(_) => Ok(true),
            Transport::Tls(tls) => tls.handshake(rings),
        }
    }

    /// The TLS session, if there is one.
    pub fn tls(&self) -> Option<&Tls> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => Some(tls),
        }
    }

    /// Both ends of a TCP connection: who is there, and what it has connected to.
    pub fn addresses(&self) -> Option<Addresses> {
        self.socket().addresses()
    }

    /// Applies an event to the readiness bits.
    pub fn note(&mut self, event: &Event) {
        self.socket_mut().note(event);
    }

    /// Applies readiness that did not come as a mio event.
    pub fn note_ready(&mut self, readable: bool, writable: bool, hung_up: bool) {
        self.socket_mut().note_ready(readable, writable, hung_up);
    }

    /// Ends the writing side, after everything that was taken.
    pub fn shutdown_write(&mut self, rings: &mut Pool) {
        match self {
            Transport::Plain(socket) => socket.shutdown_write(),
            Transport::Tls(tls) => tls.shutdown_write(rings),
        }
    }

    /// Sends a close_notify if the session is TLS, without waiting; to be called before the transport is
    /// dropped.
    pub fn send_close_notify(&mut self, rings: &mut Pool) {
        if let Transport::Tls(tls) = self {
            tls.shutdown_write(rings);
        }
    }

    /// Drops bytes that were accepted and not yet written. Nothing may be written afterwards.
    pub fn stop_writing(&mut self, rings: &mut Pool) {
        if let Transport::Tls(tls) = self {
            tls.stop_writing(rings);
        }
    }

    /// How many retransmissions or probes the peer has not answered.
    pub fn unanswered(&self) -> u8 {
        self.socket().unanswered()
    }

    /// Bytes taken that the peer's side has not acknowledged; 0 when the system does not say.
    pub fn unacknowledged(&self) -> usize {
        self.socket().unacknowledged() + self.unsent()
    }

    /// As [`Socket::bound_unread`].
    pub fn bound_unread(&self) {
        self.socket().bound_unread();
    }

    /// As [`Socket::bound_unread_to`].
    pub fn bound_unread_to(&self, bytes: Option<usize>) {
        self.socket().bound_unread_to(bytes);
    }

    /// As [`Socket::bound_unsent`].
    pub fn bound_unsent(&mut self, bytes: Option<usize>) {
        self.socket_mut().bound_unsent(bytes);
    }

    /// As [`Socket::keep_unread_small`].
    pub fn keep_unread_small(&self) -> bool {
        self.socket().keep_unread_small()
    }

    /// As [`Socket::is_far`].
    pub fn is_far(&self) -> bool {
        self.socket().is_far()
    }

    /// As [`Socket::unbind`].
    pub fn unbind(&mut self) {
        self.socket_mut().unbind();
    }

    /// Gives back what is held; to be called before the transport is dropped.
    pub fn retire(&mut self, rings: &mut Pool) {
        if let Transport::Tls(tls) = self {
            tls.retire(rings);
        }
    }

    /// Whether a dial has finished: `Ok(true)` connected, `Ok(false)` not yet.
    ///
    /// # Errors
    /// Why it failed.
    pub fn connected(&self) -> io::Result<bool> {
        self.socket().connected()
    }

    /// The round-trip time to the peer, as the kernel has measured it; `None` if this is not TCP.
    pub fn round_trip(&self) -> Option<Duration> {
        self.socket().round_trip()
    }

    /// The peer's address; `None` if this is not TCP, or no longer connected (getpeername(2)).
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.socket().peer_address()
    }

    fn socket(&self) -> &Socket {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(tls) => &tls.socket,
        }
    }

    fn socket_mut(&mut self) -> &mut Socket {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(tls) => &mut tls.socket,
        }
    }
}

impl From<Socket> for Transport {
    fn from(socket: Socket) -> Transport {
        Transport::Plain(socket)
    }
}
