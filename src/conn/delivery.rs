//! Whether what was sent still arrives, and how long a peer may take for what is owed to it.

use std::time::Duration;

use super::cx::Cx;
use crate::timers::Tick;

/// Whether a peer still takes, however slowly, what the system holds for it. Looked at twice in the time
/// that a peer has to answer once it has everything.
#[derive(Debug)]
pub struct Delivery {
    left: usize,
    pub(super) progress_at: Tick,
    /// When the peer's system was last known to answer.
    answered_at: Tick,
}

impl Delivery {
    /// Nothing is known yet.
    pub fn new(now: Tick) -> Delivery {
        Delivery { left: usize::MAX, progress_at: now, answered_at: now }
    }

    /// Takes in that `left` bytes are unacknowledged now. True when waiting on is of no use: at two looks in
    /// a row nothing was left, or the peer has taken nothing for [`STALL`].
    pub fn is_over(&mut self, left: usize, now: Tick) -> bool {
        if left < self.left {
            self.progress_at = now;
        }
        let was_left = std::mem::replace(&mut self.left, left);
        if left == 0 { was_left == 0 } else { now.since(self.progress_at) >= STALL }
    }

    /// Takes in how often the system has repeated itself without an answer. True when the peer's has answered
    /// nothing for one and a half heartbeats, if there are such: what is left can't be delivered then.
    pub fn is_hopeless(&mut self, unanswered: u8, cx: &Cx<'_>) -> bool {
        if unanswered <= UNANSWERED_MAX {
            self.answered_at = cx.now;
        }
        let patience = cx.frontend.heartbeat.map(|period| (period * 3 / 2).max(LINGER));
        patience.is_some_and(|patience| cx.now.since(self.answered_at) >= patience)
    }
}

/// Repetitions of the system's without an answer that a living peer may show for a moment.
pub const UNANSWERED_MAX: u8 = 1;

/// How long a peer that has received everything may take to end its side.
pub const LINGER: Duration = Duration::from_secs(5);

/// How long a peer may take nothing at all. Long, because browsers suspend the tabs of laptops that sleep.
pub const STALL: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_goes_on_while_the_peer_takes_something_within_the_stall_time() {
        let mut now = Tick::ZERO;
        let mut delivery = Delivery::new(now);
        for left in (1..50).rev() {
            now = now.after(STALL / 2);
            assert!(!delivery.is_over(left, now));
        }
        now = now.after(STALL / 2);
        assert!(!delivery.is_over(1, now));
        assert!(delivery.is_over(1, now.after(STALL)));
    }

    #[test]
    fn a_peer_that_has_everything_gets_one_more_look() {
        let mut delivery = Delivery::new(Tick::ZERO);
        assert!(!delivery.is_over(5, Tick::ZERO));
        assert!(!delivery.is_over(0, Tick::ZERO));
        assert!(delivery.is_over(0, Tick::ZERO));
    }
}
