//! The data in flight to a far client: no more than it reads in a moment, so that the target's next bytes do
//! not wait behind its earlier ones. On a slow link that would be the echo of a key behind seconds of old
//! screens.
//!
//! Bytes wait in three places: with us to be sent, in a ring, and unread in the socket of the target. All
//! three are sized by how much the client has read lately. None of this applies to a near client, whose link
//! is fast.

use std::time::Duration;

use super::Relay;
use crate::conn::client::Client;
use crate::net::transport::Transport;
use crate::ring::RING_BYTES;
use crate::timers::Tick;

/// How much may be in flight at a time.
#[derive(Debug)]
pub(super) struct Fresh {
    /// The bytes of one [`MOMENT`].
    step: usize,
    /// The largest step so far.
    most: usize,
    /// The target is near, so what it sends and is not read can be bounded.
    bounds_target: bool,
    /// When the current measurement began, and the bytes moved since.
    since: Tick,
    moved: usize,
}

impl Fresh {
    /// Nothing, if the client is near.
    pub(super) fn begin(client: &mut Client, target: &Transport, now: Tick) -> Option<Fresh> {
        if !client.is_far() {
            return None;
        }
        client.socket.bound_unsent(Some(STEP_MIN));
        let bounds_target = target.keep_unread_small();
        Some(Fresh { step: STEP_MIN, most: STEP_MIN, bounds_target, since: now, moved: 0 })
    }

    /// Whether the target's unread data is bounded, too.
    pub(super) fn bounds_target(&self) -> bool {
        self.bounds_target
    }

    /// Bytes that may be read from the target at a time.
    pub(super) fn read_limit(&self) -> usize {
        if self.step < WIDE { self.step } else { RING_BYTES }
    }

    /// Notes that this many bytes were moved; returns the new step if it has changed.
    fn note(&mut self, count: usize, now: Tick) -> Option<usize> {
        self.moved += count;
        let time = now.since(self.since);
        if time < LOOK {
            return None;
        }
        let of_moment = self.moved as u128 * MOMENT.as_millis() / time.as_millis();
        (self.since, self.moved) = (now, 0);
        // Data before a pause says nothing about the link.
        if time > PAUSE {
            return None;
        }
        let of_moment = usize::try_from(of_moment).unwrap_or(WIDE);
        let step = of_moment.clamp(STEP_MIN, WIDE).div_ceil(STEP_MIN).next_power_of_two() * STEP_MIN;
        // A slightly smaller step is not worth the system calls.
        let is_less = step < self.step && of_moment > self.step / 2 - self.step / 16;
        if step == self.step || is_less {
            return None;
        }
        self.step = step;
        self.most = self.most.max(step);
        Some(step)
    }
}

impl Relay {
    /// Notes that this many bytes were moved down.
    #[inline]
    pub(super) fn note_moved(&mut self, client: &mut Client, count: usize, now: Tick) {
        if self.down.fresh().is_some() {
            self.note_far(client, count, now);
        }
    }

    #[cold]
    fn note_far(&mut self, client: &mut Client, count: usize, now: Tick) {
        if let Some(fresh) = self.down.fresh_mut()
            && let Some(step) = fresh.note(count, now)
        {
            let bound = (step < WIDE).then_some(step);
            client.socket.bound_unsent(bound);
            if fresh.bounds_target
                && let Some(target) = &self.target
            {
                // A target that once saw a large window sends segments of up to half of it, and waits for room for one,
                // a fifth of a second each time.
                let least = if fresh.most < WIDE { fresh.most / 2 } else { SEGMENT_MAX };
                target.bound_unread_to(bound.map(|bound| bound.max(least)));
            }
        }
    }
}

/// What a link moves in this time may wait in each of the places.
const MOMENT: Duration = Duration::from_millis(4);

/// Time over which the speed of a link is measured: a few ticks, since one may be nearly over when it begins.
const LOOK: Duration = Duration::from_millis(400);

/// A measurement that took longer contains a pause.
const PAUSE: Duration = Duration::from_secs(1);

/// Two packets, which one acknowledgement asks for. With 2 KiB more in each place an echo took 10 ms more, and 40 ms more
/// while the system measures the way there with a nearly empty link (bbr); with less the link is not full.
const STEP_MIN: usize = 3 * 1024;

/// From here on a link counts as fast and only the usual bounds apply: 12 MB a second.
const WIDE: usize = 16 * STEP_MIN;

/// A segment on the loopback has up to 64 KiB.
const SEGMENT_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Fresh {
        Fresh { step: STEP_MIN, most: STEP_MIN, bounds_target: true, since: Tick::ZERO, moved: 0 }
    }

    /// Moves `rate` bytes a second for two seconds, and returns when that is over and how often the step changed.
    fn moves(fresh: &mut Fresh, rate: usize, from: Tick) -> (Tick, usize) {
        let (mut now, mut changes) = (from, 0);
        for _ in 0..20 {
            now = now.plus(1);
            changes += usize::from(fresh.note(rate / 10, now).is_some());
        }
        (now, changes)
    }

    #[test]
    fn what_may_be_on_its_way_is_what_the_link_moves_in_a_moment() {
        let (mut fresh, mut now) = (fresh(), Tick::ZERO);
        for (rate, step) in [
            (100_000, STEP_MIN),
            (625_000, STEP_MIN),
            (2_000_000, 12 * 1024),
            (40_000_000, WIDE),
            (625_000, STEP_MIN),
            (0, STEP_MIN),
        ] {
            (now, _) = moves(&mut fresh, rate, now);
            assert_eq!(fresh.step, step, "at {rate} bytes a second");
        }
        assert_eq!(fresh.most, WIDE);
    }

    #[test]
    fn a_speed_at_a_boundary_does_not_call_the_system_each_time() {
        let mut fresh = fresh();
        let (mut now, mut changes) = (Tick::ZERO, 0);
        for rate in [800_000, 760_000, 800_000, 760_000, 800_000] {
            let (then, more) = moves(&mut fresh, rate, now);
            (now, changes) = (then, changes + more);
        }
        assert_eq!(changes, 1, "one step up");
    }

    #[test]
    fn a_silence_tells_nothing_about_a_link() {
        let mut fresh = fresh();
        let (now, _) = moves(&mut fresh, 40_000_000, Tick::ZERO);
        assert_eq!(fresh.note(100, now.after(Duration::from_secs(20))), None);
        assert_eq!(fresh.step, WIDE);
    }
}
