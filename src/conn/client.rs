//! The client's side of a connection: its socket, what it sent too early, and bytes that are committed to be
//! sent before anything else.

use std::num::NonZeroU16;
use std::time::Duration;

use super::cx::Cx;
use super::end::End;
use super::who::Who;
use crate::certs::ClientIdentity;
use crate::http::request::HEAD_MAX;
use crate::metrics::Transport as Channel;
use crate::net::fault::Broken;
use crate::net::listen::Peer;
use crate::net::socket::{ReadEnd, Socket};
use crate::net::transport::Transport;
use crate::ring::Pool;
use crate::timers::Tick;
use crate::ws::{code, encode};

/// The client of a connection, in every state.
#[derive(Debug)]
pub struct Client {
    /// Its socket, with or without TLS.
    pub socket: Transport,
    /// Who it is.
    pub who: Who,
    /// How many connections the process had accepted when it came, itself included.
    pub number: u64,
    /// When it was accepted.
    pub accepted_at: Tick,
    /// When its session was granted; `Tick::NEVER` before that.
    pub upgraded_at: Tick,
    /// The port that it comes from, where logs tell it.
    pub port: Option<NonZeroU16>,
    /// Whether its session is logged: the number of logged sessions per period is limited.
    pub is_logged: bool,
    /// Bytes that were received and not yet used: a part of a request head, frames that came with it. In a
    /// buffer of its own size.
    pub kept: Vec<u8>,
    /// Bytes that are to be sent at the next frame boundary.
    pub out: Out,
}

impl Client {
    /// A client that has just been accepted.
    pub fn new(socket: Socket, peer: Peer, number: u64, now: Tick) -> Client {
        Client {
            socket: socket.into(),
            who: Who::new(peer),
            number,
            accepted_at: now,
            upgraded_at: Tick::NEVER,
            port: None,
            is_logged: true,
            kept: Vec::new(),
            out: Out::default(),
        }
    }

    /// What its session comes over.
    pub fn transport(&self) -> Channel {
        if self.socket.tls().is_some() { Channel::Wss } else { Channel::Ws }
    }

    /// The common name in the certificate that the client has shown.
    pub fn common_name(&self) -> Option<String> {
        ClientIdentity::of(self.socket.tls()?.peer_certificates()?.first()?)?.common_name
    }

    /// Whether it is so far away that the data in flight to it is kept small.
    pub fn is_far(&self) -> bool {
        matches!(&self.who.socket, Peer::Ip(address) if !address.is_loopback()) && self.socket.is_far()
    }

    /// Whether it has, or had, a session.
    pub fn is_upgraded(&self) -> bool {
        self.upgraded_at != Tick::NEVER
    }

    /// The deadline of its first request, whatever delayed it before.
    pub fn first_request_by(&self) -> Tick {
        self.accepted_at.after(FIRST_REQUEST)
    }

    /// Appends what the client has sent to the bytes kept; false if there was nothing.
    ///
    /// # Errors
    /// The client left.
    pub fn read_more(&mut self, cx: &mut Cx<'_>) -> Result<bool, End> {
        // Readers of heads and bodies refuse longer ones, so there is always room for a byte.
        let room = (HEAD_MAX + 1).saturating_sub(self.kept.len()).max(1);
        let mut ring = cx.rings.take();
        let space = ring.space();
        let room = room.min(space.len());
        let result = self.socket.read(&mut space[..room], cx.rings);
        let more = match result {
            Ok(ReadEnd::Data(count)) => {
                self.kept.reserve_exact(count);
                self.kept.extend_from_slice(&ring.space()[..count]);
                Ok(true)
            }
            Ok(ReadEnd::Blocked) => Ok(false),
            Ok(ReadEnd::Eof) => Err(End::HalfRequest),
            Err(broken) => Err(End::client_lost(broken)),
        };
        cx.rings.give(ring);
        more
    }

    /// Writes what is committed; true when nothing is left.
    ///
    /// # Errors
    /// The client's connection is broken.
    #[inline(always)]
    pub fn flush_out(&mut self, rings: &mut Pool) -> Result<bool, Broken> {
        if self.out.is_empty() {
            return self.socket.flush(rings);
        }
        Ok(self.out.flush(&mut self.socket, rings)? && self.socket.flush(rings)?)
    }

    /// The same for the last bytes of all: if nothing is left, the writing side is shut down at once.
    ///
    /// # Errors
    /// The client's connection is broken.
    pub fn flush_last(&mut self, rings: &mut Pool) -> Result<bool, Broken> {
        Ok(self.out.flush_with(|bytes| self.socket.write_last(bytes, rings))? && self.socket.flush(rings)?)
    }
}

/// Reads from `socket` and drops the bytes, until nothing is left, the stream ends, or `budget` is used up.
///
/// # Errors
/// The connection is broken.
pub fn discard(
    socket: &mut Transport,
    space: &mut [u8],
    budget: usize,
    rings: &mut Pool,
) -> Result<ReadEnd, Broken> {
    let mut dropped = 0;
    while socket.is_readable() {
        match socket.read(space, rings)? {
            ReadEnd::Data(count) => dropped += count,
            end => return Ok(end),
        }
        if dropped >= budget {
            return Ok(ReadEnd::Data(dropped));
        }
    }
    Ok(ReadEnd::Blocked)
}

/// Control frames and heads of responses that wait for the next frame boundary.
///
/// Answers to pings are bounded: when a KiB of them is waiting, the newest replaces the rest
/// (RFC 6455 section 5.5.3 allows to answer only the most recent ping).
#[derive(Debug, Default)]
pub struct Out {
    /// Sent bytes are removed at once, so that a client that reads a little at a time leaves nothing behind.
    bytes: Vec<u8>,
    /// Bytes before this index are never dropped: they are not control frames, or are the rest of one.
    committed: u32,
    /// The code of the Close frame that is queued or sent, 1005 if it has none; nothing may follow it (RFC 6455
    /// section 5.5.1).
    closed: Option<u16>,
}

impl Out {
    /// Queues bytes that are not a control frame, the head of a response for instance.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.committed = self.bytes.len() as u32;
    }

    /// Queues the answer to a ping.
    pub fn pong(&mut self, payload: &[u8]) {
        if self.closed.is_some() {
            return;
        }
        if self.bytes.len() - self.committed as usize > PONGS_BYTES_MAX {
            self.bytes.truncate(self.committed as usize);
        }
        encode::pong(&mut self.bytes, payload);
    }

    /// Queues a ping.
    pub fn ping(&mut self, payload: &[u8]) {
        if self.closed.is_none() {
            encode::ping(&mut self.bytes, payload);
        }
    }

    /// Queues a Close frame, once; a second one is dropped.
    pub fn close(&mut self, code: Option<u16>, reason: &str) {
        if self.closed.is_none() {
            encode::close(&mut self.bytes, code, reason);
            self.closed = Some(code.unwrap_or(code::NO_STATUS));
        }
    }

    /// The code of the Close frame that is queued or was sent; 1005 stands for a frame without one.
    pub fn close_code(&self) -> Option<u16> {
        self.closed.filter(|&code| code != code::ABNORMAL)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that wait.
    #[cfg(any(test, feature = "testing"))]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Drops everything: the client's connection is broken.
    pub fn clear(&mut self) {
        *self = Out { closed: self.closed.or(Some(code::ABNORMAL)), ..Out::default() };
    }

    fn flush(&mut self, socket: &mut Transport, rings: &mut Pool) -> Result<bool, Broken> {
        self.flush_with(|bytes| socket.write(bytes, rings))
    }

    fn flush_with(&mut self, write: impl FnOnce(&[u8]) -> Result<usize, Broken>) -> Result<bool, Broken> {
        if self.bytes.is_empty() {
            return Ok(true);
        }
        let sent = write(&self.bytes)?;
        if sent < self.bytes.len() {
            self.committed = (self.boundary(sent) - sent) as u32;
            self.bytes.drain(..sent);
            return Ok(false);
        }
        // The buffer goes, too: an idle session owns none.
        *self = Out { closed: self.closed, ..Out::default() };
        Ok(true)
    }

    /// The first frame boundary at or behind `sent` bytes. All frames here are control frames of the server:
    /// two bytes of header, the second being the length.
    fn boundary(&self, sent: usize) -> usize {
        let mut at = self.committed as usize;
        while at < sent {
            at += 2 + usize::from(self.bytes[at + 1] & 0x7f);
        }
        at
    }
}

/// Time from accepting a connection until its first request is complete: less than the sum of the deadlines
/// for the first byte, TLS and the request.
pub const FIRST_REQUEST: Duration = Duration::from_secs(28);

/// Answers to pings that may wait, in bytes.
const PONGS_BYTES_MAX: usize = 1024;

#[cfg(test)]
pub(super) fn parts() -> crate::parts::Parts {
    crate::parts::parts!(Client: socket, who, number, accepted_at, upgraded_at, port, is_logged, kept, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::{Scripted, Step};
    use crate::net::socket::Io;
    use crate::ring::HELD_BYTES_MAX;

    fn socket(room: usize) -> (Transport, crate::net::scripted::Handle) {
        let (stream, handle) = Scripted::new([], [Step::Room(room)]);
        (Socket::new(Io::other(stream)).into(), handle)
    }

    #[test]
    fn pongs_that_nobody_takes_are_bounded_and_the_newest_stays() {
        let mut out = Out::default();
        for number in 0..1000_u32 {
            out.pong(&number.to_be_bytes());
            assert!(out.bytes.len() <= PONGS_BYTES_MAX + 2 + 125);
        }
        assert!(out.bytes.ends_with(&999_u32.to_be_bytes()));
    }

    #[test]
    fn a_pong_that_is_half_sent_is_completed() {
        let mut out = Out::default();
        out.push(b"HTTP/1.1 101");
        let mut rings = Pool::new(HELD_BYTES_MAX);
        let (mut client, handle) = socket(12 + 3);
        for number in 0..1000_u32 {
            out.pong(&number.to_be_bytes());
            out.flush(&mut client, &mut rings).expect("not broken");
        }
        handle.write_step(Step::Room(10_000));
        client.note_ready(false, true, false);
        assert!(out.flush(&mut client, &mut rings).expect("not broken"));
        let written = handle.take_written();
        let frames = written.strip_prefix(b"HTTP/1.1 101").expect("the head is whole");
        let mut numbers = Vec::new();
        for frame in frames.chunks(6) {
            assert_eq!(frame[..2], [0x8a, 4]);
            numbers.push(u32::from_be_bytes(frame[2..].try_into().expect("four bytes")));
        }
        assert_eq!((numbers[0], numbers.last()), (0, Some(&999)));
        assert!(numbers.is_sorted());
    }

    #[test]
    fn nothing_follows_a_close_frame() {
        let mut out = Out::default();
        out.close(Some(1000), "");
        out.pong(b"x");
        out.ping(b"x");
        out.close(Some(1001), "again");
        assert_eq!(out.bytes, [0x88, 2, 0x03, 0xe8]);
    }
}
