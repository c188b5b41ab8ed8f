//! What a session has moved, and when: a few numbers that every session keeps, for logs and lists.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::Relay;
use crate::conn::cx::Cx;
use crate::timers::Tick;

/// What a session has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Payload bytes that were written to the target.
    pub bytes_up: u64,
    /// Bytes that were read from the target, and are the client's payload.
    pub bytes_down: u64,
    /// When the target was reached, or the client was told that it could not be.
    pub begun: Tick,
    /// When payload moved up last; `begun` if none has.
    pub active_up: Tick,
    /// The same down.
    pub active_down: Tick,
    /// The round-trip time of our last ping that was answered, in microseconds, to the client itself and not
    /// to a proxy in front of it; 0 if there is none, for example without `--heartbeat`.
    rtt_us: u32,
}

impl Traffic {
    pub(super) fn new(now: Tick) -> Traffic {
        Traffic { bytes_up: 0, bytes_down: 0, begun: now, active_up: now, active_down: now, rtt_us: 0 }
    }

    /// The round-trip time of a ping, if one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        (self.rtt_us > 0).then(|| Duration::from_micros(self.rtt_us.into()))
    }
}

/// Pings, which measure the distance to the client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pings {
    /// When the last unanswered ping was sent, in the lower bits of a clock's microseconds; 0 if there is
    /// none.
    sent_us: u32,
}

impl Pings {
    /// The payload of a ping that is sent now. It distinguishes its answer from those to older pings and from
    /// unsolicited pongs.
    pub(super) fn send(&mut self) -> [u8; 2] {
        self.sent_us = now_us();
        (self.sent_us as u16).to_be_bytes()
    }

    /// Handles a pong; notes the round-trip time if it answers the last ping.
    #[cold]
    pub(super) fn answered(&mut self, payload: &[u8], traffic: &mut Traffic) -> Option<Duration> {
        let sent_us = std::mem::take(&mut self.sent_us);
        if sent_us == 0 || payload != (sent_us as u16).to_be_bytes() {
            self.sent_us = sent_us;
            return None;
        }
        traffic.rtt_us = now_us().wrapping_sub(sent_us).max(1);
        traffic.round_trip()
    }
}

/// The lower bits of a clock's microseconds, never 0.
fn now_us() -> u32 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    (START.elapsed().as_micros() as u32).max(1)
}

impl Relay {
    /// What the session has moved so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The target has accepted this many bytes.
    #[inline(always)]
    pub(super) fn count_up(&mut self, count: usize, cx: &Cx<'_>) {
        if count > 0 {
            cx.metrics.bytes_up.add(count as u64);
            self.traffic.bytes_up += count as u64;
            self.traffic.active_up = cx.now;
        }
    }

    /// This many bytes have come from the target; they are the client's, however long it takes.
    #[inline(always)]
    pub(super) fn count_down(&mut self, count: usize, cx: &Cx<'_>) {
        cx.metrics.bytes_down.add(count as u64);
        self.traffic.bytes_down += count as u64;
        self.traffic.active_down = cx.now;
    }
}

#[cfg(test)]
pub(super) fn parts() -> crate::parts::Parts {
    crate::parts::parts!(Traffic: bytes_up, bytes_down, begun, active_up, active_down, rtt_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_last_ping_tells_how_far_the_client_is() {
        let (mut pings, mut traffic) = (Pings::default(), Traffic::new(Tick::ZERO));
        pings.answered(b"", &mut traffic);
        pings.answered(&[0, 0], &mut traffic);
        assert_eq!(traffic.round_trip(), None, "nothing was sent");
        let old = pings.send();
        let new = [old[0] ^ 1, old[1]];
        pings.answered(&new, &mut traffic);
        pings.answered(b"", &mut traffic);
        assert_eq!(traffic.round_trip(), None, "those are no answers");
        let time = Duration::from_millis(2);
        std::thread::sleep(time);
        pings.answered(&old, &mut traffic);
        let first = traffic.round_trip().expect("that is one");
        assert!(first >= time);
        pings.answered(&old, &mut traffic);
        assert_eq!(traffic.round_trip(), Some(first), "an answer counts once");
    }
}
