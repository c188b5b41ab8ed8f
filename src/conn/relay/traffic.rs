//! What a session has moved, and when: a few numbers that every session carries, for logs and lists.

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
    /// The time from our last ping that was answered to its answer, in microseconds, for the client itself and not for a
    /// proxy before it; 0 as long as there is none, as without `--heartbeat`.
    rtt_us: u32,
}

impl Traffic {
    pub(super) fn new(now: Tick) -> Traffic {
        Traffic { bytes_up: 0, bytes_down: 0, begun: now, active_up: now, active_down: now, rtt_us: 0 }
    }

    /// The time of a ping to the client and back, if one was answered.
    pub fn round_trip(&self) -> Option<Duration> {
        (self.rtt_us > 0).then(|| Duration::from_micros(self.rtt_us.into()))
    }
}

/// Pings, which tell how far the client is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pings {
    /// When the last ping was sent that is not answered, in microseconds of some clock, the lower bits of it; 0 if there
    /// is none.
    sent_us: u32,
}

impl Pings {
    /// The payload of a ping that is sent now. It tells an answer from those to older pings and from pongs that nobody
    /// has asked for.
    pub(super) fn send(&mut self) -> [u8; 2] {
        self.sent_us = now_us();
        (self.sent_us as u16).to_be_bytes()
    }

    /// Takes in a pong; tells how long the answer took, if it is one.
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

/// Microseconds since some moment, the lower bits of them, and never 0.
fn now_us() -> u32 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    (START.elapsed().as_micros() as u32).max(1)
}

impl Relay {
    /// What the session has moved so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The target has taken this many bytes.
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
