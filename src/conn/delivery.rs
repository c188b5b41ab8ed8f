//! Whether sent data still arrives, and how long a peer may take to receive it.

use std::time::Duration;

use super::cx::Cx;
use crate::timers::Tick;

/// Whether a peer is still receiving, however slowly, what the kernel holds for it. Checked twice in the time
/// that a peer has to answer once it has everything.
#[derive(Debug)]
pub struct Delivery {
    left: usize,
    /// What was left when the peer had last received [`LEAST_BYTES`], and when that was.
    mark: usize,
    pub(super) progress_at: Tick,
    /// When the peer's system was last known to answer.
    answered_at: Tick,
}

impl Delivery {
    /// Nothing is known yet.
    pub fn new(now: Tick) -> Delivery {
        Delivery { left: usize::MAX, mark: usize::MAX, progress_at: now, answered_at: now }
    }

    /// Notes that `left` bytes are unacknowledged now. True when waiting any longer is useless: at two looks
    /// in a row nothing was left, or the peer has taken less than [`LEAST_BYTES`] for [`STALL`].
    pub fn is_over(&mut self, left: usize, now: Tick) -> bool {
        if self.mark.saturating_sub(left) >= LEAST_BYTES {
            (self.mark, self.progress_at) = (left, now);
        }
        // More may come on the way to the target.
        self.mark = self.mark.max(left);
        let was_left = std::mem::replace(&mut self.left, left);
        if left == 0 { was_left == 0 } else { now.since(self.progress_at) >= STALL }
    }

    /// Notes the number of unanswered retransmissions and probes. True when the peer's system has answered
    /// nothing for one and a half heartbeats, if there are heartbeats: what is left can't be delivered then.
    pub fn is_hopeless(&mut self, unanswered: u8, cx: &Cx<'_>) -> bool {
        if unanswered <= UNANSWERED_MAX {
            self.answered_at = cx.now;
        }
        let patience = cx.frontend.heartbeat.map(|period| (period * 3 / 2).max(LINGER));
        patience.is_some_and(|patience| cx.now.since(self.answered_at) >= patience)
    }
}

/// Unanswered retransmissions that a live peer may show for a moment.
pub const UNANSWERED_MAX: u8 = 1;

/// How long a peer that has received everything may take to end its side.
pub const LINGER: Duration = Duration::from_secs(5);

/// How long a peer may read less than [`LEAST_BYTES`]. Long, because browsers suspend the tabs of laptops
/// that sleep.
pub const STALL: Duration = Duration::from_secs(15 * 60);

/// The least that a peer has to read in each [`STALL`] while data waits for it.
pub const LEAST_BYTES: usize = 16 * 1024;

/// Whether a peer reads at least as much as it has to of what is sent to it.
#[derive(Debug)]
pub struct Pace {
    since: Tick,
    taken: usize,
}

impl Pace {
    /// Nothing has been taken yet.
    pub fn new(now: Tick) -> Pace {
        Pace { since: now, taken: 0 }
    }

    /// Notes how much the peer has received since the beginning. True when it was too little for too long.
    pub fn is_too_slow(&mut self, taken: usize, now: Tick) -> bool {
        if now < self.deadline() {
            return false;
        }
        let is_too_slow = taken.saturating_sub(self.taken) < LEAST_BYTES;
        *self = Pace { since: now, taken };
        is_too_slow
    }

    /// When to call [`Pace::is_too_slow`].
    pub fn deadline(&self) -> Tick {
        self.since.after(STALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_goes_on_while_the_peer_takes_something_within_the_stall_time() {
        let mut now = Tick::ZERO;
        let mut delivery = Delivery::new(now);
        for left in (1..50).rev() {
            now = now.after(STALL / 2);
            assert!(!delivery.is_over(left * LEAST_BYTES, now));
        }
        now = now.after(STALL / 2);
        assert!(!delivery.is_over(LEAST_BYTES, now));
        // A byte is not enough.
        assert!(delivery.is_over(LEAST_BYTES - 1, now.after(STALL)));
    }

    #[test]
    fn a_peer_that_has_everything_gets_one_more_look() {
        let mut delivery = Delivery::new(Tick::ZERO);
        assert!(!delivery.is_over(5, Tick::ZERO));
        assert!(!delivery.is_over(0, Tick::ZERO));
        assert!(delivery.is_over(0, Tick::ZERO));
    }
}
