//! What one direction of a session holds for the end that has refused it, and since when.

use std::time::Duration;

use super::fresh::Fresh;
use crate::conn::delivery::{LEAST_BYTES, STALL};
use crate::metrics::Gauge;
use crate::net::pipe::Kept;
use crate::ring::{Held, Pool, RING_BYTES};
use crate::timers::Tick;

/// One direction's bytes that its receiving end has refused.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) held: Option<Held>,
    /// Since when the receiving end has refused bytes and accepted less than [`LEAST_BYTES`]; `Tick::NEVER`
    /// while it refuses none.
    pub(super) stalled_at: Tick,
    /// Until when it counts as slow.
    slow_until: Tick,
    /// Details, once it has refused something or if it is far. Most idle sessions have none.
    stall: Option<Box<Stall>>,
}

#[derive(Debug)]
struct Stall {
    /// Bytes that the end has accepted since it stalled.
    taken: usize,
    /// How much was unacknowledged when the stall was first checked, and how much had been accepted by then.
    looked: Option<(usize, usize)>,
    /// The previous stall: when it began, and when everything was accepted.
    before: (Tick, Tick),
    /// What it refused, where that is in a pipe.
    pipe: Option<Kept>,
    /// How much may be in flight to it, if it is far.
    fresh: Option<Fresh>,
}

impl Default for Stall {
    fn default() -> Stall {
        Stall { taken: 0, looked: None, before: (Tick::NEVER, Tick::ZERO), pipe: None, fresh: None }
    }
}

impl Default for Direction {
    fn default() -> Direction {
        Direction { held: None, stalled_at: Tick::NEVER, slow_until: Tick::ZERO, stall: None }
    }
}

impl Direction {
    /// Notes that the receiving end was offered bytes, accepted `taken` of them, and whether some were
    /// `left`. `stalls` counts the directions that wait.
    #[inline]
    pub(super) fn offered(&mut self, taken: usize, left: bool, now: Tick, stalls: &Gauge) {
        if left || self.stalled_at != Tick::NEVER {
            self.note(taken, left, now, stalls);
        }
    }

    fn note(&mut self, taken: usize, left: bool, now: Tick, stalls: &Gauge) {
        let stall = self.stall.get_or_insert_default();
        if self.stalled_at == Tick::NEVER {
            stalls.raise();
            // A stall that was interrupted, because everything held was accepted, continues.
            let (began, ended) = stall.before;
            if began != Tick::NEVER && now.since(ended) < PAUSE {
                self.stalled_at = began;
            } else {
                (self.stalled_at, stall.taken, stall.looked) = (now, 0, None);
            }
            return;
        }
        if now.since(self.stalled_at) >= SLOW {
            self.slow_until = now.after(SLOW_FOR);
        }
        stall.taken += taken;
        if stall.taken >= LEAST_BYTES {
            (self.stalled_at, stall.taken, stall.looked) = (now, 0, None);
        }
        if !left {
            stall.before = (self.stalled_at, now);
            self.stalled_at = Tick::NEVER;
            stalls.lower();
        }
    }

    /// How many bytes may be read for it: few while memory is short and it is slow, so that only those who
    /// cause the shortage suffer from it; and if it is far, no more than it reads in a moment.
    #[inline]
    pub(super) fn read_limit(&self, rings: &Pool, now: Tick) -> usize {
        let limit = if now >= self.slow_until { RING_BYTES } else { rings.read_limit() };
        self.fresh().map_or(limit, |fresh| limit.min(fresh.read_limit()))
    }

    /// How much may be in flight to the receiving end, if that is far.
    pub(super) fn fresh(&self) -> Option<&Fresh> {
        self.stall.as_ref()?.fresh.as_ref()
    }

    /// The same, to be changed.
    pub(super) fn fresh_mut(&mut self) -> Option<&mut Fresh> {
        self.stall.as_mut()?.fresh.as_mut()
    }

    pub(super) fn set_fresh(&mut self, fresh: Option<Fresh>) {
        self.stall.get_or_insert_default().fresh = fresh;
    }

    /// Whether the receiving end has read too little for too long. Bytes that its system has acknowledged
    /// since count as read, too.
    pub(super) fn is_stalled(&mut self, unacknowledged: impl FnOnce() -> usize, now: Tick) -> bool {
        if now < self.deadline() {
            return false;
        }
        let (left, stall) = (unacknowledged(), self.stall.get_or_insert_default());
        let Some((left_then, taken_then)) = stall.looked else {
            stall.looked = Some((left, stall.taken));
            return false;
        };
        if left_then.saturating_sub(left) + stall.taken - taken_then < LEAST_BYTES {
            return true;
        }
        (self.stalled_at, stall.taken, stall.looked) = (now, 0, Some((left, 0)));
        false
    }

    /// When to check whether it is stalled.
    pub(super) fn deadline(&self) -> Tick {
        match (self.stalled_at, self.stall.as_ref().and_then(|stall| stall.looked)) {
            (Tick::NEVER, _) => Tick::NEVER,
            (stalled_at, None) => stalled_at.after(FIRST_LOOK),
            (stalled_at, Some(_)) => stalled_at.after(STALL),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.data().len()) + self.pipe_len()
    }

    /// Whether bytes are held for the receiving end.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some() || self.has_pipe()
    }

    /// Whether some of them are in a pipe.
    pub(super) fn has_pipe(&self) -> bool {
        self.stall.as_ref().is_some_and(|stall| stall.pipe.is_some())
    }

    /// How many are in a pipe.
    pub(super) fn pipe_len(&self) -> usize {
        self.stall.as_ref().and_then(|stall| stall.pipe.as_ref()).map_or(0, |kept| kept.pipe.len())
    }

    /// Keeps a pipe with what the receiving end refused.
    pub(super) fn keep_pipe(&mut self, pipe: Kept) {
        self.stall.get_or_insert_default().pipe = Some(pipe);
    }

    /// Takes that pipe.
    pub(super) fn take_pipe(&mut self) -> Option<Kept> {
        self.stall.as_mut()?.pipe.take()
    }

    /// What is held, in whole buffers.
    pub(super) fn capacity(&self) -> usize {
        self.held.as_ref().map_or(0, Held::capacity)
    }

    /// Drops the first `count` of the held bytes, which have been taken.
    pub(super) fn consume(&mut self, count: usize, rings: &mut Pool) {
        let Some(mut held) = self.held.take() else { return };
        held.consume(count);
        if held.is_empty() {
            rings.release(held);
        } else {
            self.held = Some(held);
        }
    }

    pub(super) fn release(&mut self, rings: &mut Pool, stalls: &Gauge) {
        if let Some(held) = self.held.take() {
            rings.release(held);
        }
        drop(self.take_pipe());
        if std::mem::replace(&mut self.stalled_at, Tick::NEVER) != Tick::NEVER {
            stalls.lower();
        }
    }
}

/// By then the buffers of a stalled end's system are full.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// A shorter interruption of a stall, in which everything held was accepted, does not end it.
const PAUSE: Duration = Duration::from_secs(1);

/// An end that accepted less than [`LEAST_BYTES`] in this time is slow, and counts as slow for [`SLOW_FOR`].
const SLOW: Duration = Duration::from_secs(1);
const SLOW_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_end_that_takes_too_little_is_stalled_whether_or_not_it_takes_all_that_is_held() {
        for takes_all in [false, true] {
            let mut direction = Direction::default();
            let (mut now, start) = (Tick::ZERO, Tick::ZERO);
            direction.offered(100_000, true, now, &Gauge::default());
            while !direction.is_stalled(|| 1 << 20, now) {
                now = now.after(60 * SECOND);
                assert!(now.since(start) < STALL + 120 * SECOND, "still not stalled");
                direction.offered(1000, !takes_all, now, &Gauge::default());
                direction.offered(0, true, now, &Gauge::default());
            }
            assert!(now.since(start) >= STALL);
        }
    }

    #[test]
    fn an_end_that_takes_enough_is_not_stalled_also_if_only_its_system_tells() {
        for by_system in [false, true] {
            let (mut direction, mut now, mut left) = (Direction::default(), Tick::ZERO, 1 << 30);
            direction.offered(0, true, now, &Gauge::default());
            for _ in 0..100 {
                now = now.after(60 * SECOND);
                if by_system {
                    left -= LEAST_BYTES / 10;
                } else {
                    direction.offered(LEAST_BYTES / 10, true, now, &Gauge::default());
                }
                assert!(!direction.is_stalled(|| left, now));
            }
        }
    }

    #[test]
    fn what_an_end_took_before_the_first_look_does_not_count_behind_it() {
        let (mut direction, mut now) = (Direction::default(), Tick::ZERO);
        direction.offered(0, true, now, &Gauge::default());
        now = now.after(SECOND);
        direction.offered(LEAST_BYTES - 1000, true, now, &Gauge::default());
        now = now.after(FIRST_LOOK);
        assert!(!direction.is_stalled(|| 1 << 20, now));
        assert!(direction.is_stalled(|| 1 << 20, now.after(STALL)));
    }

    #[test]
    fn only_for_slow_ends_little_is_read_while_memory_is_short() {
        let mut pool = Pool::new(2 * RING_BYTES);
        pool.charge(RING_BYTES);
        let (mut quick, mut slow) = (Direction::default(), Direction::default());
        let later = Tick::ZERO.after(2 * SECOND);
        for direction in [&mut quick, &mut slow] {
            direction.offered(0, true, Tick::ZERO, &Gauge::default());
        }
        quick.offered(RING_BYTES, false, Tick::ZERO, &Gauge::default());
        slow.offered(10, false, later, &Gauge::default());
        assert_eq!(quick.read_limit(&pool, later), RING_BYTES);
        assert!(slow.read_limit(&pool, later) < RING_BYTES);
        assert_eq!(slow.read_limit(&pool, later.after(SLOW_FOR)), RING_BYTES);
        pool.discharge(RING_BYTES);
        assert_eq!(slow.read_limit(&pool, later), RING_BYTES);
    }
}
