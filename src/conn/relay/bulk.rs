//! Target to client in bulk: when reads are large, several in a row, the payload goes from socket to socket
//! through a pipe, and only the frame headers pass through this process.
//!
//! It pays off from about ten KiB at a time, between plain TCP sockets. What the client refuses stays in the
//! pipe, and the pipe with the session; when as many are kept as there may be, it is read out and held like
//! other refused bytes.

use super::{Down, Relay};
use crate::conn::client::Client;
use crate::conn::cx::Cx;
use crate::metrics::Way;
use crate::net::transport::Transport;
use crate::ring::RING_BYTES;
use crate::ws::encode;

/// How bulky a direction has been lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bulk(u8);

impl Bulk {
    /// Notes the size of a read.
    pub(super) fn note(&mut self, count: usize) {
        self.0 = if count >= LARGE_BYTES { self.0.saturating_add(1) } else { 0 };
    }

    fn is_on(self) -> bool {
        self.0 >= LARGE_READS
    }
}

/// The result of an attempt to splice.
pub(super) enum Spliced {
    /// This many bytes of payload were moved or are held.
    Moved(usize),
    /// The ordinary way has to be used.
    No,
    /// The target's connection broke.
    Broken,
    /// The client's connection broke.
    Refused,
}

impl Relay {
    /// Moves as much as is there, up to a burst, through the reactor's pipe, if splicing is possible and
    /// worthwhile.
    pub(super) fn splice_down(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Spliced {
        if !self.bulk.is_on()
            || (cx.bulk_waiting > CROWD && !cx.splicer.may_keep())
            || self.down_state != Down::Running
            || self.tape.is_some()
        {
            return Spliced::No;
        }
        let (Transport::Plain(to), Some(Transport::Plain(from))) = (&mut client.socket, &mut self.target)
        else {
            return Spliced::No;
        };
        if !(to.is_tcp() && from.is_tcp()) || self.down.read_limit(cx.rings, cx.now) < RING_BYTES {
            return Spliced::No;
        }
        let Some(mut pipe) = cx.splicer.take(cx.now) else { return Spliced::No };
        // What a client refuses stays in the pipe, so no more than it has room for goes in. What can't be kept is read
        // out into a ring.
        let most = if cx.splicer.may_keep() { to.room().clamp(FRAME_MAX, BURST_BYTES) } else { FRAME_MAX };
        let count = match pipe.fill(from, most, FRAME_MAX) {
            Ok(count) => count,
            Err(_) => return Spliced::Broken,
        };
        if count == 0 {
            // A read decides whether this is the end, nothing for now, or urgent data.
            cx.splicer.give(pipe);
            return Spliced::No;
        }
        self.bulk.note(count);
        self.count_down(count, cx);
        let Ok(taken) = pipe.drain(to) else { return Spliced::Refused };
        self.down.offered(taken, !pipe.is_empty(), cx.now, cx.metrics.stalls(Way::Down));
        if pipe.is_empty() {
            cx.splicer.give(pipe);
            return Spliced::Moved(count);
        }
        let mut pipe = match cx.splicer.keep(pipe) {
            Ok(kept) => {
                self.down.keep_pipe(kept);
                return Spliced::Moved(count);
            }
            Err(pipe) => pipe,
        };
        let mut ring = cx.rings.take();
        match pipe.read(ring.space()) {
            Ok(left) => {
                ring.fill(left);
                self.down.held = Some(cx.rings.hold(ring));
                cx.splicer.give(pipe);
                Spliced::Moved(count)
            }
            Err(_) => {
                // The frame can't be completed.
                cx.rings.give(ring);
                Spliced::Refused
            }
        }
    }

    /// Writes the rest of a frame that is in a pipe because the client refused it; true when nothing is left.
    pub(super) fn flush_pipe(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> bool {
        let (Some(mut kept), Transport::Plain(to)) = (self.down.take_pipe(), &mut client.socket) else {
            return true;
        };
        match kept.pipe.drain(to) {
            Ok(taken) => {
                let left = !kept.pipe.is_empty();
                self.down.offered(taken, left, cx.now, cx.metrics.stalls(Way::Down));
                match left {
                    true => self.down.keep_pipe(kept),
                    false => cx.splicer.give(kept.release()),
                }
                !left
            }
            Err(_) => {
                self.client_refused(client, cx);
                true
            }
        }
    }
}

/// Payload of a frame, as of one that goes through a ring.
const FRAME_MAX: usize = RING_BYTES - encode::HEADROOM;

/// Payload that is moved at a time: with each move the target's side learns of room, and both ends are woken.
const BURST_BYTES: usize = 512 * 1024;

/// A read of at least this much counts as a large one.
const LARGE_BYTES: usize = 48 * 1024;

/// With more bulk sessions than this at a time, and no more pipes to be kept, copying is cheaper than reading
/// out what clients refuse.
const CROWD: usize = 4;

/// This many large reads in a row make a direction bulky.
const LARGE_READS: u8 = 4;
