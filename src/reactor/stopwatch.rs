//! What drives cost, in time. The processor's own counter is read, once for each drive; how fast it runs is
//! learnt from the system's clock once a second.

use std::time::Instant;

use crate::sys;

/// Measures time in steps of the counter.
pub(super) struct Stopwatch {
    /// Where the counter stood when it was looked at last.
    last: u64,
    /// The thresholds that every lap is compared with, in steps.
    thresholds: Thresholds,
    /// The shortest lap since the counter was compared.
    shortest: u64,
    /// When the counter was compared with the clock.
    compared: (u64, Instant),
    /// Steps in a microsecond.
    steps_a_us: u64,
    /// The thread's processor time, and where the counter stood then.
    cpu: Option<(u64, u64)>,
    /// How often the thread had been preempted when that was looked at last.
    preemptions: u64,
}

/// What drives are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    /// A connection whose drive takes longer is not light.
    pub(super) light: u64,
    /// A drive that takes longer is none of a medium connection, and costs the place among the light ones for a
    /// while.
    pub(super) dear: u64,
    /// Medium and heavy connections may be driven for at least this long each in a turn.
    pub(super) turn: u64,
}

impl Thresholds {
    /// Those of a counter of which this many steps are a microsecond, on a machine whose shortest drives take
    /// `shortest` steps. On a slow one a keystroke takes longer, too.
    pub(super) fn at(steps_a_us: u64, shortest: u64) -> Thresholds {
        let dear = DEAR_US * steps_a_us;
        let light = (LIGHT_US * steps_a_us).max(shortest.saturating_mul(LIGHT_FACTOR)).min(dear);
        Thresholds { light, dear, turn: TURN_US * steps_a_us }
    }
}

impl Stopwatch {
    /// Until the first comparison the counter is taken to run at 1 GHz, so that times seem rather long.
    pub(super) fn new() -> Stopwatch {
        let now = sys::cycles();
        let (thresholds, compared) = (Thresholds::at(STEPS_A_US_AT_FIRST, 0), (now, Instant::now()));
        Stopwatch {
            last: now,
            thresholds,
            shortest: u64::MAX,
            compared,
            steps_a_us: STEPS_A_US_AT_FIRST,
            cpu: None,
            preemptions: 0,
        }
    }

    /// What follows is measured from here on. Returns where the counter stands.
    #[inline]
    pub(super) fn start(&mut self) -> u64 {
        self.last = sys::cycles();
        self.last
    }

    /// Where the counter stood when it was looked at last.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// What laps are to be compared with.
    #[inline]
    pub(super) fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Notes the processor time of this thread, so that laps of this turn can be told from time that others had. It
    /// is a system call, made only where it matters who waits behind whom.
    pub(super) fn note_cpu(&mut self) {
        self.cpu = Some((sys::thread_cpu_ns(), self.last));
    }

    /// Ends a turn in which that mattered.
    pub(super) fn forget_cpu(&mut self) {
        self.cpu = None;
    }

    /// Steps since the last call of this or of [`Stopwatch::start`]. `light` is whether the connection that was
    /// driven counts as light.
    #[inline]
    pub(super) fn lap(&mut self, light: bool) -> u64 {
        let now = sys::cycles();
        // A counter that differs between processors may go back a little.
        let steps = now.saturating_sub(self.last);
        let begun = std::mem::replace(&mut self.last, now);
        self.shortest = self.shortest.min(steps);
        if steps > self.thresholds.light && (light || steps > self.thresholds.dear) {
            return self.own_share(steps, begun);
        }
        steps
    }

    /// What this thread had of a long lap. What is written to a client wakes the client, which may then have this
    /// processor first; that is not what the drive has cost.
    #[cold]
    fn own_share(&mut self, steps: u64, begun: u64) -> u64 {
        let Some((noted, at)) = self.cpu else {
            // Without a note it is not known how much of a lap in which the thread was preempted was its own.
            let preemptions = sys::preemptions();
            let was = std::mem::replace(&mut self.preemptions, preemptions);
            return if preemptions == was { steps } else { steps.min(self.thresholds.dear) };
        };
        let cpu = sys::thread_cpu_ns();
        self.cpu = Some((cpu, self.last));
        // Laps between the note and this one were short, so all of their time was this thread's.
        let used = cpu.saturating_sub(noted).saturating_mul(self.steps_a_us) / 1000;
        used.saturating_sub(begun.saturating_sub(at)).min(steps)
    }

    /// Learns how fast the counter runs; to be called about once a second.
    pub(super) fn compare(&mut self) {
        let (now, clock) = (sys::cycles(), Instant::now());
        let steps = now.saturating_sub(self.compared.0);
        let us =
            u64::try_from(clock.saturating_duration_since(self.compared.1).as_micros()).unwrap_or(u64::MAX);
        self.compared = (now, clock);
        if us >= COMPARED_US_MIN {
            let shortest = std::mem::replace(&mut self.shortest, u64::MAX);
            let shortest = if shortest == u64::MAX { 0 } else { shortest };
            self.steps_a_us = (steps / us).clamp(1, STEPS_A_US_MAX);
            self.thresholds = Thresholds::at(self.steps_a_us, shortest);
        }
    }
}

/// A keystroke takes 3 us, a piece of a bulk transfer from 15 us on, an opening 50 us, a handshake of TLS 100 us to
/// 2 ms.
const LIGHT_US: u64 = 20;

/// Where the shortest drives of a second took longer than a quarter of that, so may a light one.
const LIGHT_FACTOR: u64 = 4;

/// What takes as long is neither a piece of a transfer nor an opening.
const DEAR_US: u64 = 500;

/// About as long as one piece of a bulk transfer takes, or a few openings.
const TURN_US: u64 = 50;

/// A comparison over a shorter time would be inexact.
const COMPARED_US_MIN: u64 = 10_000;

/// The assumed rate until the counter has been compared.
const STEPS_A_US_AT_FIRST: u64 = 1000;

/// No counter is faster.
const STEPS_A_US_MAX: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn on_a_slow_machine_what_is_light_may_take_longer_but_is_never_dear() {
        assert_eq!(Thresholds::at(1000, 2_000).light, 20_000);
        assert_eq!(Thresholds::at(1000, 15_000).light, 60_000);
        assert_eq!(Thresholds::at(1000, 1_000_000).light, 500_000);
    }

    #[test]
    fn thresholds_last_as_long_as_the_clock_says_once_the_counter_was_compared() {
        let mut watch = Stopwatch::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        watch.compare();
        let (begun, start) = (Instant::now(), sys::cycles());
        while begun.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let (steps, ms) = (sys::cycles() - start, begun.elapsed().as_millis() as u64);
        // Half a millisecond is the threshold.
        let measured = steps / watch.thresholds().dear / 2;
        assert!((18..=ms + ms / 10).contains(&measured), "{measured} ms of at most {ms}");
    }
}
