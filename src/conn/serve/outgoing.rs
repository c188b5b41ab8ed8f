//! The part of an answer that is in memory, waiting for the client, and where the rest is read from.
//!
//! What can be read again is never kept for a client that does not read it.

use std::sync::Arc;

use crate::web::{Body, Response};

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// What is to be written next.
    pub(super) bytes: Vec<u8>,
    /// How many of `bytes` are written.
    pub(super) sent: usize,
    /// How many of `bytes` can't be read again, because they are the head.
    committed: usize,
    /// Where the rest comes from.
    pub(super) body: Option<Arc<Body>>,
    /// How much of the body is written or in `bytes`.
    pub(super) at: u64,
    /// How much is read next, in bytes: as much as the client is expected to take.
    pub(super) read_size: usize,
}

impl Outgoing {
    pub(super) fn new(response: Response) -> Outgoing {
        let at = (response.bytes.len() - response.head_len) as u64;
        Outgoing {
            bytes: response.bytes,
            sent: 0,
            committed: response.head_len,
            body: response.body.map(Arc::new),
            at,
            read_size: CHUNK_BYTES_MAX,
        }
    }

    /// Whether nothing is left behind `bytes`.
    pub(super) fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(|body| self.at >= body.length())
    }

    /// How many of the bytes that are written are the body's.
    pub(super) fn body_sent(&self) -> usize {
        self.sent.saturating_sub(self.committed)
    }

    /// Adds the next bytes of the body.
    pub(super) fn refill(&mut self, bytes: Vec<u8>) {
        self.at += bytes.len() as u64;
        (self.bytes, self.sent, self.committed) = (bytes, 0, 0);
    }

    /// The client accepted everything that was read: next time it is offered more.
    pub(super) fn grow_read_size(&mut self) {
        if self.sent == self.read_size {
            self.read_size = (2 * self.read_size).min(CHUNK_BYTES_MAX);
        }
    }

    /// Drops what is written, before waiting for more room.
    pub(super) fn drop_written(&mut self) {
        if self.sent == self.bytes.len() {
            self.grow_read_size();
        }
        self.bytes.drain(..self.sent);
        self.bytes.shrink_to_fit();
        self.committed = self.committed.saturating_sub(self.sent);
        self.sent = 0;
    }

    /// The client accepts no more for now: drops what can be read again, except for a little.
    pub(super) fn drop_the_unsent(&mut self) {
        let kept = self.sent.max(self.committed);
        let left = self.bytes.len() - kept;
        if self.body.is_some() && left > LEFTOVER_BYTES {
            self.at -= left as u64;
            self.read_size = self.sent.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
            self.bytes.truncate(kept);
            self.bytes.drain(..self.sent);
            self.bytes.shrink_to_fit();
            (self.sent, self.committed) = (0, self.bytes.len());
        }
    }
}

/// How much of a file is read at a time for a fast client: about two rings.
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// The same for a slow client, since what it does not read is read again.
const CHUNK_BYTES_MIN: usize = 16 << 10;

/// A smaller rest of a chunk is kept for a client that does not read it at once.
const LEFTOVER_BYTES: usize = 4 << 10;
