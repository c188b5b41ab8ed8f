//! Target to client in bulk: when reads are large, several in a row, the payload goes from socket to socket
//! through a pipe, and only the frame headers pass through this process.
//!
//! It pays from some ten KiB at a time, between plain TCP sockets. What the client refuses is read out of the
//! pipe and held like any other refused bytes, so a slow client costs a copy, and no bound is another one.

use super::{Down, Relay};
use crate::conn::client::Client;
use crate::conn::cx::Cx;
use crate::net::transport::Transport;
use crate::ring::RING_BYTES;
use crate::ws::encode;

/// How bulky a direction has been lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bulk(u8);

impl Bulk {
    /// Takes in the size of a read.
    pub(super) fn note(&mut self, count: usize) {
        self.0 = if count >= LARGE_BYTES { self.0.saturating_add(1) } else { 0 };
    }

    fn is_on(self) -> bool {
        self.0 >= LARGE_READS
    }
}

/// What came of an attempt to splice.
pub(super) enum Spliced {
    /// So many bytes of payload were moved or are held.
    Moved(usize),
    /// The ordinary way is to be taken.
    No,
    /// The target's connection broke.
    Broken,
    /// The client's connection broke.
    Refused,
}

impl Relay {
    /// Moves one frame's worth of bytes through the reactor's pipe, if that is the way to go.
    pub(super) fn splice_down(&mut self, client: &mut Client, cx: &mut Cx<'_>) -> Spliced {
        if !self.bulk.is_on()
            || cx.bulk_waiting > CROWD
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
        let Some(pipe) = cx.splicer.pipe(cx.now) else { return Spliced::No };
        let count = match pipe.fill(from, RING_BYTES - encode::HEADROOM) {
            // A read finds out whether this is the end, nothing for now, or urgent data.
            Ok(0) => return Spliced::No,
            Ok(count) => count,
            Err(_) => return Spliced::Broken,
        };
        self.bulk.note(count);
        cx.metrics.bytes_down.add(count as u64);
        let mut header = [0; encode::HEADROOM];
        let start = encode::header_before(&mut header, encode::HEADROOM, count);
        let Ok(sent) = pipe.drain(&header[start..], to) else { return Spliced::Refused };
        let (rest, taken) = (&header[start + sent..], sent + count - pipe.len());
        if rest.is_empty() && pipe.is_empty() {
            self.down.offered(taken, false, cx.now);
            return Spliced::Moved(count);
        }
        let mut ring = cx.rings.take();
        ring.space()[..rest.len()].copy_from_slice(rest);
        ring.fill(rest.len());
        match pipe.read(ring.space()) {
            Ok(left) => {
                ring.fill(left);
                self.down.offered(taken, true, cx.now);
                self.down.held = Some(cx.rings.hold(ring));
                Spliced::Moved(count)
            }
            Err(_) => {
                // The frame can't be completed.
                cx.rings.give(ring);
                Spliced::Refused
            }
        }
    }
}

/// A read of at least this much counts as a large one.
const LARGE_BYTES: usize = 48 * 1024;

/// With more sessions than this in bulk at a time a copy is cheaper: the pages of so many streams are no longer
/// in any cache when they are counted and passed on, while a ring always is.
const CROWD: usize = 4;

/// So many large reads in a row make a direction bulky.
const LARGE_READS: u8 = 4;
