//! The pieces of the VNC mix: small events up and larger updates down, at a steady pace, each with the time
//! at which it left in it, so that the other end can tell how long it was under way.

use crate::load::wire::{KEY, put_frame};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Bytes of an event, 60 of which a session's client sends per second.
pub(crate) const EVENT_BYTES: usize = 10;
pub(crate) const EVENTS_PER_S: u32 = 60;

/// Bytes of an update, 30 of which a session's target sends per second.
pub(crate) const UPDATE_BYTES: usize = 24 * 1024;
pub(crate) const UPDATES_PER_S: u32 = 30;

/// When the messages of all sessions are due: evenly spread, one session after the other.
pub(crate) struct Pace {
    start: Instant,
    gap: Duration,
    sent: u64,
    total: u64,
}

impl Pace {
    /// `per_s` messages per second and session, `total` in all.
    pub(crate) fn new(sessions: usize, per_s: u32, total: u64) -> Pace {
        let gap = Duration::from_secs(1) / (per_s * sessions.max(1) as u32);
        Pace { start: Instant::now(), gap, sent: 0, total }
    }

    /// The number of the next message if it is due.
    pub(crate) fn next_due(&mut self) -> Option<u64> {
        if self.is_over() || self.wait() > Duration::ZERO {
            return None;
        }
        self.sent += 1;
        Some(self.sent - 1)
    }

    /// How long until the next message is due.
    pub(crate) fn wait(&self) -> Duration {
        let due = self.start + Duration::from_nanos(self.gap.as_nanos() as u64 * self.sent);
        due.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.sent == self.total
    }
}

/// How many messages all sessions send in `duration_ms`, the same number each.
pub(crate) fn messages(sessions: usize, per_s: u32, duration_ms: u64) -> u64 {
    (duration_ms * u64::from(per_s) / 1000).max(1) * sessions as u64
}

/// A message as it travels, ready to be stamped and sent.
pub(crate) struct Message {
    wire: Vec<u8>,
    payload_at: usize,
    key: [u8; 4],
}

impl Message {
    /// A message of `bytes` bytes: bare, or in a frame with or without a mask.
    pub(crate) fn new(bytes: usize, framed: bool, masked: bool) -> Message {
        let payload = payload(bytes);
        let key = masked.then_some(KEY);
        let mut wire = Vec::with_capacity(bytes + 14);
        if framed {
            put_frame(&mut wire, &payload, key)
        } else {
            wire.extend(payload)
        }
        Message { payload_at: wire.len() - bytes, key: key.unwrap_or_default(), wire }
    }

    /// The message with the present time in it.
    pub(crate) fn stamped(&mut self) -> &[u8] {
        for (at, byte) in since_epoch_ns().to_le_bytes().into_iter().enumerate() {
            self.wire[self.payload_at + at] = byte ^ self.key[at % 4];
        }
        &self.wire
    }

    /// How many nanoseconds `received` was under way; `None` when it is not this message.
    pub(crate) fn age_ns(&self, received: &[u8]) -> Option<f64> {
        let (head, tail) = (self.payload_at, self.payload_at + STAMP_BYTES);
        if received.len() != self.wire.len()
            || received[..head] != self.wire[..head]
            || received[tail..] != self.wire[tail..]
        {
            return None;
        }
        let mut stamp = [0; STAMP_BYTES];
        for (at, byte) in stamp.iter_mut().enumerate() {
            *byte = received[head + at] ^ self.key[at % 4];
        }
        Some(since_epoch_ns().checked_sub(u64::from_le_bytes(stamp))? as f64)
    }

    pub(crate) fn len(&self) -> usize {
        self.wire.len()
    }
}

/// Cuts a stream into messages of one length.
#[derive(Default)]
pub(crate) struct Cutter {
    partial: Vec<u8>,
}

impl Cutter {
    /// Adds `data` and hands each whole message to `each`, which says whether it is right.
    pub(crate) fn feed(&mut self, length: usize, data: &[u8], mut each: impl FnMut(&[u8]) -> bool) -> bool {
        self.partial.extend_from_slice(data);
        let whole = self.partial.len() / length * length;
        let good = self.partial[..whole].chunks(length).all(&mut each);
        self.partial.drain(..whole);
        good
    }
}

fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn since_epoch_ns() -> u64 {
    EPOCH.elapsed().as_nanos() as u64
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

const STAMP_BYTES: usize = 8;
