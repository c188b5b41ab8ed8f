//! Deadlines, one for each slot of the slab, in a dense vector of ticks that is swept whole.
//!
//! Setting a deadline is one store. The sweep reads four bytes a connection, at most once a tick, and only
//! when the earliest deadline may have come; so ten thousand idle sessions without a deadline cost nothing,
//! and with one they cost some microseconds. A deadline that was postponed leaves an early wake-up behind,
//! which finds nothing and corrects itself.

use std::time::Duration;

/// A moment of the reactor's clock, in tenths of a second since it started. Overflows after 13 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u32);

impl Tick {
    /// A moment that never comes.
    pub const NEVER: Tick = Tick(u32::MAX);
    /// The start of the clock.
    pub const ZERO: Tick = Tick(0);

    /// The first tick that is certainly `wait` or more from now.
    pub fn after(self, wait: Duration) -> Tick {
        let ticks = wait.as_millis().div_ceil(TICK_MS as u128).saturating_add(1);
        Tick(self.0.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX)).min(u32::MAX - 1))
    }

    /// This many ticks from now; [`Tick::ticks_of`] makes them from a duration once, for hot paths.
    pub fn plus(self, ticks: u32) -> Tick {
        Tick(self.0.saturating_add(ticks).min(u32::MAX - 1))
    }

    /// This many ticks ago, or the start of the clock.
    pub fn minus(self, ticks: u32) -> Tick {
        Tick(self.0.saturating_sub(ticks))
    }

    /// The fewest ticks that certainly last for `wait`.
    pub fn ticks_of(wait: Duration) -> u32 {
        Tick::ZERO.after(wait).0
    }

    /// Time until `later`, a tick more at the most; `None` if it never comes.
    pub fn until(self, later: Tick) -> Option<Duration> {
        (later != Tick::NEVER).then(|| later.since(self))
    }

    /// Time from `earlier` to `self`, in whole ticks; zero if `earlier` is later.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(u64::from(self.0.saturating_sub(earlier.0)) * TICK_MS)
    }
}

/// The deadlines of one reactor.
pub struct Timers {
    start_ms: u64,
    deadlines: Vec<Tick>,
    /// No deadline is earlier than this.
    earliest: Tick,
}

impl Timers {
    /// No deadlines; the clock starts at `start_ms`, as all times here in milliseconds since some moment.
    pub fn new(start_ms: u64) -> Timers {
        Timers { start_ms, deadlines: Vec::new(), earliest: Tick::NEVER }
    }

    /// Where the reactor's clock stands at `now_ms`.
    pub fn tick(&self, now_ms: u64) -> Tick {
        let ticks = now_ms.saturating_sub(self.start_ms) / TICK_MS;
        Tick(u32::try_from(ticks).unwrap_or(u32::MAX - 1).min(u32::MAX - 1))
    }

    /// Replaces the deadline of `slot`.
    pub fn set(&mut self, slot: u32, deadline: Tick) {
        let slot = slot as usize;
        if slot >= self.deadlines.len() {
            self.deadlines.resize(slot + 1, Tick::NEVER);
        }
        self.deadlines[slot] = deadline;
        self.earliest = self.earliest.min(deadline);
    }

    /// When [`Timers::expire`] may find something.
    pub fn next(&self) -> Tick {
        self.earliest
    }

    /// Whether a deadline may have come.
    pub fn is_due(&self, now: Tick) -> bool {
        now >= self.earliest
    }

    /// Calls `due` with each slot whose deadline has come, and clears that deadline.
    pub fn expire(&mut self, now: Tick, mut due: impl FnMut(u32)) {
        let mut earliest = Tick::NEVER;
        for (slot, deadline) in self.deadlines.iter_mut().enumerate() {
            if *deadline <= now {
                *deadline = Tick::NEVER;
                due(slot as u32);
            } else {
                earliest = earliest.min(*deadline);
            }
        }
        self.earliest = earliest;
    }
}

/// Length of a tick. Every deadline is a second or more; a tenth of one is exact enough.
const TICK_MS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 7_000_000;

    /// What is due so long after the start.
    fn expired(timers: &mut Timers, after: Duration) -> Vec<u32> {
        let mut slots = Vec::new();
        let tick = timers.tick(START_MS + after.as_millis() as u64);
        timers.expire(tick, |slot| slots.push(slot));
        slots
    }

    #[test]
    fn a_deadline_never_comes_early_and_comes_once() {
        let mut timers = Timers::new(START_MS);
        let wait = Duration::from_millis(1_050);
        timers.set(3, timers.tick(START_MS).after(wait));
        assert_eq!(expired(&mut timers, wait), [0_u32; 0]);
        assert_eq!(expired(&mut timers, wait + Duration::from_millis(250)), [3]);
        assert_eq!(expired(&mut timers, Duration::from_secs(60)), [0_u32; 0]);
        assert_eq!(timers.next(), Tick::NEVER);
    }

    #[test]
    fn a_deadline_moved_later_does_not_fire_at_its_old_time() {
        let mut timers = Timers::new(START_MS);
        timers.set(0, Tick::ZERO.after(Duration::from_secs(1)));
        timers.set(0, Tick::ZERO.after(Duration::from_secs(9)));
        assert_eq!(expired(&mut timers, Duration::from_secs(5)), [0_u32; 0]);
        assert!(timers.next() > Tick::ZERO.plus(80));
        assert_eq!(expired(&mut timers, Duration::from_secs(10)), [0]);
    }

    #[test]
    fn a_cleared_deadline_leaves_no_wake_behind_for_long() {
        let mut timers = Timers::new(START_MS);
        timers.set(7, Tick::ZERO.after(Duration::from_secs(1)));
        timers.set(7, Tick::NEVER);
        assert_eq!(expired(&mut timers, Duration::from_secs(2)), [0_u32; 0]);
        assert_eq!(timers.next(), Tick::NEVER);
    }

    #[test]
    fn the_wait_ends_when_the_earliest_deadline_has_come() {
        let mut timers = Timers::new(START_MS);
        timers.set(1, Tick::ZERO.after(Duration::from_secs(30)));
        timers.set(2, Tick::ZERO.after(Duration::from_secs(2)));
        let wait = Tick::ZERO.until(timers.next()).expect("a deadline");
        assert_eq!(expired(&mut timers, wait), [2]);
    }

    #[test]
    fn no_duration_overflows_the_clock() {
        let far = Tick::ZERO.after(Duration::MAX);
        assert!(far < Tick::NEVER);
        assert_eq!(far.after(Duration::MAX), far);
    }
}
