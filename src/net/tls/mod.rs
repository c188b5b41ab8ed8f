//! TLS on a socket: the buffers that unbuffered rustls leaves to us, kept only while they hold something.
//!
//! What is received goes into a ring that is lent for the turn, is opened there, and is copied once, into the
//! caller's space. A record that is not whole yet moves to a buffer of its own size. What is sent is sealed
//! into a ring and written at once; what the socket refuses is held. So an idle session owns no buffer.
//!
//! No more is read than fits into the caller's space, and plaintext is shorter than its records; so what is
//! kept never contains a whole record, and an idle session has nothing to do until an event comes.

mod limits;
pub mod session;

use std::io;

use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion};

use super::fault::{Broken, Fault};
use super::socket::{ReadEnd, Socket};
use crate::ring::{Held, Pool, Ring};
use limits::{DROPPED_READS_MAX, EMPTY_READS_MAX, INCOMING_MAX, READ_MIN};
use session::{Flow, RECORD_MAX, Reach, Session};

pub use limits::{UNREAD_MAX, WRITE_MAX};

/// A TLS session on a socket.
#[derive(Debug)]
pub struct Tls {
    pub(super) socket: Socket,
    session: Session,
    reach: Reach,
    /// Received and not opened: a part of a record, or of a handshake message.
    incoming: Box<[u8]>,
    /// Opened and not yet read by the caller.
    opened: Box<[u8]>,
    /// Sealed, and refused by the socket.
    sealed: Option<Held>,
    /// What the next read has to report.
    fault: Option<Fault>,
    /// No record is opened any more: the session is broken, or we have ended it.
    discarding: bool,
    ending: Ending,
}

/// The state of our writing side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Data may be written.
    No,
    /// The last record is sealed; the socket's writing side ends after it.
    Wanted,
    /// The socket's writing side has been ended.
    Done,
}

impl Tls {
    /// A session on `socket`, from which `received` has been read so far.
    pub fn new(socket: Socket, session: Session, received: &[u8]) -> Tls {
        Tls {
            socket,
            session,
            reach: Reach::Handshake,
            incoming: received.into(),
            opened: Box::default(),
            sealed: None,
            fault: None,
            discarding: false,
            ending: Ending::No,
        }
    }

    /// Continues the handshake; true when it is complete and its last bytes are written.
    ///
    /// # Errors The connection is broken, or the peers can't agree. An alert has then been queued.
    pub fn handshake(&mut self, rings: &mut Pool) -> Result<bool, Broken> {
        if self.discarding {
            return Err(Broken::Truncated);
        }
        if self.reach != Reach::Handshake {
            return self.flush(rings);
        }
        let mut ring = rings.take();
        let result = self.continue_handshake(&mut ring, rings);
        rings.give(ring);
        result
    }

    fn continue_handshake(&mut self, ring: &mut Ring, rings: &mut Pool) -> Result<bool, Broken> {
        // First what came with the first byte; or nothing, which makes a client's session say hello.
        self.load(ring);
        loop {
            self.open(ring, &mut [], rings)?;
            if !self.flush(rings)? {
                return Ok(false);
            }
            if self.reach != Reach::Handshake {
                return Ok(true);
            }
            match self.receive(ring, RECORD_MAX)? {
                ReadEnd::Data(_) => {}
                ReadEnd::Blocked => return Ok(false),
                ReadEnd::Eof => {
                    self.discarding = true;
                    return Err(Broken::Truncated);
                }
            }
        }
    }

    /// Reads into `space`, which must not be empty. May return `Blocked` with the socket still readable, so
    /// that a peer that sends records without data does not hold up the turn.
    ///
    /// # Errors The connection is broken. An end of the stream without a close_notify counts as truncation.
    pub fn read(&mut self, space: &mut [u8], rings: &mut Pool) -> Result<ReadEnd, Broken> {
        if !self.opened.is_empty() {
            return Ok(ReadEnd::Data(self.take_opened(space)));
        }
        if let Some(fault) = self.fault.take() {
            self.discarding = true;
            return Err(Broken::Tls(fault));
        }
        if self.reach == Reach::PeerClosed && !self.discarding {
            return Ok(ReadEnd::Eof);
        }
        let mut ring = rings.take();
        let result = if self.discarding {
            self.drop_input(&mut ring)
        } else {
            self.read_records(space, &mut ring, rings)
        };
        rings.give(ring);
        result
    }

    fn read_records(
        &mut self,
        space: &mut [u8],
        ring: &mut Ring,
        rings: &mut Pool,
    ) -> Result<ReadEnd, Broken> {
        for _ in 0..EMPTY_READS_MAX {
            match self.receive(ring, space.len().max(RECORD_MAX))? {
                ReadEnd::Data(_) => {}
                ReadEnd::Blocked => break,
                ReadEnd::Eof => {
                    self.discarding = true;
                    return Err(Broken::Truncated);
                }
            }
            let filled = self.open(ring, space, rings)?;
            if filled > 0 {
                return Ok(ReadEnd::Data(filled));
            }
            if self.reach == Reach::PeerClosed {
                return Ok(ReadEnd::Eof);
            }
        }
        Ok(ReadEnd::Blocked)
    }

    /// Reads and drops what comes after the end, only so much at a time that others need not wait.
    fn drop_input(&mut self, ring: &mut Ring) -> Result<ReadEnd, Broken> {
        for _ in 0..DROPPED_READS_MAX {
            match self.socket.read(ring.space())? {
                ReadEnd::Data(_) if self.socket.is_readable() => {}
                ReadEnd::Data(_) => break,
                end => return Ok(end),
            }
        }
        Ok(ReadEnd::Blocked)
    }

    /// Seals as much of `bytes` as may wait for the socket, writes what the socket takes of that, and returns
    /// how much was sealed.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn write(&mut self, bytes: &[u8], rings: &mut Pool) -> Result<usize, Broken> {
        if self.discarding || self.fault.is_some() || self.ending != Ending::No {
            return Err(Broken::System(io::ErrorKind::BrokenPipe));
        }
        if !self.flush(rings)? {
            return Ok(0);
        }
        let mut taken = 0;
        while taken < bytes.len() && self.is_writable() {
            let count = (bytes.len() - taken).min(WRITE_MAX);
            let mut ring = rings.take();
            let result = self.write_records(&bytes[taken..taken + count], &mut ring, rings);
            if ring.is_empty() {
                rings.give(ring);
            } else {
                self.sealed = Some(rings.hold(ring));
            }
            result?;
            taken += count;
        }
        Ok(taken)
    }

    fn write_records(&mut self, plain: &[u8], ring: &mut Ring, rings: &mut Pool) -> Result<(), Broken> {
        let mut output = Vec::new();
        let len = self.with_flow(&mut output, |session, flow| session.seal(flow, plain, ring.space()));
        match len {
            Ok(len) => ring.fill(len),
            Err(fault) => {
                self.fault = Some(fault);
                self.send(&output, rings);
                return Err(Broken::System(io::ErrorKind::BrokenPipe));
            }
        }
        if !output.is_empty() {
            // It was sealed before the data and goes out before it.
            self.send(&output, rings);
            self.send(ring.data(), rings);
            ring.clear();
            return Ok(());
        }
        let count = self.socket.write(ring.data());
        match count {
            Ok(count) => ring.consume(count),
            Err(_) => ring.clear(),
        }
        count?;
        Ok(())
    }

    /// Writes what the socket has refused so far; true when nothing is left.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self, rings: &mut Pool) -> Result<bool, Broken> {
        if let Some(held) = &mut self.sealed {
            let written = self.socket.write(held.data());
            held.consume(*written.as_ref().unwrap_or(&held.data().len()));
            if held.is_empty() {
                self.release(rings);
            }
            written?;
        }
        if self.sealed.is_none() && self.ending == Ending::Wanted {
            self.socket.shutdown_write();
            self.ending = Ending::Done;
        }
        Ok(self.sealed.is_none())
    }

    /// Shuts down the writing side: close_notify, then the socket's. What the peer sends from now on is
    /// dropped unopened.
    pub fn shutdown_write(&mut self, rings: &mut Pool) {
        if self.ending != Ending::No {
            return;
        }
        self.ending = Ending::Wanted;
        // A broken session has sent its alert already, and must not be driven any further.
        if !self.discarding && self.fault.is_none() && self.reach != Reach::Handshake {
            let mut output = Vec::new();
            self.with_flow(&mut output, |session, flow| session.close(flow));
            self.send(&output, rings);
        }
        self.discarding = true;
        self.incoming = Box::default();
        self.opened = Box::default();
        // If it fails, the next read reports it.
        let _ = self.flush(rings);
    }

    /// Bytes that are sealed and not yet written.
    pub fn unsent(&self) -> usize {
        self.sealed.as_ref().map_or(0, |held| held.data().len())
    }

    /// What keeping those costs, in a whole buffer.
    pub fn held_bytes(&self) -> usize {
        self.sealed.as_ref().map_or(0, Held::capacity)
    }

    /// Bytes received and not yet read: the beginning of a record or a message, and opened bytes beyond those
    /// that were asked for.
    pub fn unread(&self) -> usize {
        self.incoming.len() + self.opened.len()
    }

    /// Whether a read may bring something.
    pub fn is_readable(&self) -> bool {
        let waiting = !self.opened.is_empty() || self.fault.is_some();
        waiting || self.socket.is_readable() || (self.reach == Reach::PeerClosed && !self.discarding)
    }

    /// Whether a write may take something.
    pub fn is_writable(&self) -> bool {
        self.sealed.is_none() && self.ending == Ending::No && self.socket.is_writable()
    }

    /// Drops what the socket has refused. Nothing more is written, and the next flush shuts down the socket's
    /// writing side.
    pub fn stop_writing(&mut self, rings: &mut Pool) {
        if self.ending == Ending::No {
            self.ending = Ending::Wanted;
        }
        self.release(rings);
    }

    /// Drops everything that is held.
    pub fn retire(&mut self, rings: &mut Pool) {
        self.ending = Ending::Done;
        self.release(rings);
        self.incoming = Box::default();
        self.opened = Box::default();
    }

    fn release(&mut self, rings: &mut Pool) {
        if let Some(held) = self.sealed.take() {
            rings.release(held);
        }
    }

    /// Whether the session is TLS 1.3, and whether it was resumed. Only after the handshake.
    pub fn kind(&self) -> (bool, bool) {
        let state = self.session.state();
        let is_13 = state.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        (is_13, state.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// The certificates that the peer has shown, its own first.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.state().peer_certificates()
    }

    /// The version that was agreed upon, such as `1.3`.
    pub fn version(&self) -> Option<&'static str> {
        match self.session.state().protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some("1.2"),
            ProtocolVersion::TLSv1_3 => Some("1.3"),
            _ => None,
        }
    }

    /// That version, and the cipher suite as IANA calls it.
    pub fn negotiated(&self) -> Option<(&'static str, String)> {
        let suite = self.session.state().negotiated_cipher_suite()?.suite();
        Some((self.version()?, suite.as_str()?.replacen("TLS13_", "TLS_", 1)))
    }

    /// Puts into the empty `ring` what was received before.
    fn load(&self, ring: &mut Ring) {
        ring.clear();
        ring.space()[..self.incoming.len()].copy_from_slice(&self.incoming);
        ring.fill(self.incoming.len());
    }

    /// Reads from the socket, behind what was received before and so that about `most` bytes are there.
    fn receive(&mut self, ring: &mut Ring, most: usize) -> Result<ReadEnd, Broken> {
        if !self.socket.is_readable() {
            return Ok(ReadEnd::Blocked);
        }
        self.load(ring);
        let room = most.saturating_sub(ring.len()).max(READ_MIN).min(ring.space().len());
        let end = self.socket.read(&mut ring.space()[..room])?;
        if let ReadEnd::Data(count) = end {
            ring.fill(count);
        }
        Ok(end)
    }

    /// Opens what is in `ring`: fills `space`, keeps what is after it, and sends what has to be answered.
    fn open(&mut self, ring: &mut Ring, space: &mut [u8], rings: &mut Pool) -> Result<usize, Broken> {
        let (mut filled, mut surplus, mut output) = (0, Vec::new(), Vec::new());
        let mut sink = |plain: &[u8]| {
            let fit = plain.len().min(space.len() - filled);
            space[filled..filled + fit].copy_from_slice(&plain[..fit]);
            filled += fit;
            surplus.extend_from_slice(&plain[fit..]);
        };
        let mut flow = Flow { input: ring.data_mut(), used: 0, sink: &mut sink, output: &mut output };
        let reached = self.session.open(&mut flow);
        let used = flow.used;
        ring.consume(used);
        let most = if self.reach == Reach::Handshake { INCOMING_MAX } else { UNREAD_MAX };
        let reached = match reached {
            Ok(Reach::Handshake | Reach::Open) if ring.len() > most => Err(self.session.too_long()),
            reached => reached,
        };
        self.keep(ring.data(), &surplus);
        self.send(&output, rings);
        match reached {
            Ok(reach) => {
                if self.reach != Reach::PeerClosed {
                    self.reach = reach;
                }
                if self.reach == Reach::PeerClosed {
                    // Whatever follows a close_notify is ignored (RFC 8446 section 6.1).
                    self.incoming = Box::default();
                }
            }
            Err(fault) => {
                self.incoming = Box::default();
                self.fault = Some(fault);
                if !self.session.state().is_handshaking() && self.reach == Reach::Handshake {
                    // What came with the handshake's last bytes is delivered before the fault is reported.
                    self.reach = Reach::Open;
                }
            }
        }
        if filled == 0
            && self.opened.is_empty()
            && let Some(fault) = self.fault.take()
        {
            self.discarding = true;
            return Err(Broken::Tls(fault));
        }
        Ok(filled)
    }

    fn keep(&mut self, incoming: &[u8], surplus: &[u8]) {
        self.incoming = incoming.into();
        if !surplus.is_empty() {
            self.opened = [&self.opened, surplus].concat().into();
        }
    }

    fn take_opened(&mut self, space: &mut [u8]) -> usize {
        let opened = std::mem::take(&mut self.opened);
        let count = opened.len().min(space.len());
        space[..count].copy_from_slice(&opened[..count]);
        self.opened = opened[count..].into();
        count
    }

    /// Sends sealed bytes after those that wait for the socket. If the peer is gone, the next read reports
    /// it, after what the peer sent before.
    fn send(&mut self, bytes: &[u8], rings: &mut Pool) {
        let ring = match self.sealed.take() {
            Some(held) => {
                let both = Ring::holding(&[held.data(), bytes].concat());
                rings.release(held);
                both
            }
            None => {
                let written = self.socket.write(bytes).unwrap_or(bytes.len());
                Ring::holding(&bytes[written..])
            }
        };
        if !ring.is_empty() {
            self.sealed = Some(rings.hold(ring));
        }
    }

    /// Has the session do something that needs no input.
    fn with_flow<T>(
        &mut self,
        output: &mut Vec<u8>,
        act: impl FnOnce(&mut Session, &mut Flow<'_>) -> T,
    ) -> T {
        let mut surplus = Vec::new();
        let mut sink = |plain: &[u8]| surplus.extend_from_slice(plain);
        let mut flow = Flow { input: &mut self.incoming, used: 0, sink: &mut sink, output };
        let result = act(&mut self.session, &mut flow);
        let used = flow.used;
        if used > 0 {
            let rest: Box<[u8]> = self.incoming[used..].into();
            self.keep(&rest, &surplus);
        }
        result
    }
}

#[cfg(test)]
mod tests;
