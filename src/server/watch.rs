//! Checks that all reactors are alive: each is pinged and answers from its event loop. Their answers make the
//! service ready and keep the service manager's watchdog quiet.

use std::time::{Duration, Instant};

/// Which reactors have answered the last ping.
pub(super) struct Watch {
    /// One entry per reactor. A reactor that has ended counts as having answered.
    answered: Vec<Answered>,
    /// How often the manager is notified, if it asks for that: half its watchdog interval.
    every: Option<Duration>,
    /// When the next notification is due.
    next: Option<Instant>,
    is_ready: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    No,
    Yes,
    Ended,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// All have answered: notify the manager and ping them again.
    Alive,
    /// One has not answered. Do not notify the manager.
    Stuck,
}

impl Watch {
    /// For this many reactors, pinged from the start; `patience` is the manager's watchdog interval.
    pub(super) fn new(reactors: usize, patience: Option<Duration>, now: Instant) -> Watch {
        let every = patience.map(|patience| (patience / 2).max(EVERY_MIN));
        let next = every.map(|every| now + every);
        Watch { answered: vec![Answered::No; reactors], every, next, is_ready: false }
    }

    /// Records an answer; true if it makes the service ready.
    pub(super) fn answered(&mut self, reactor: usize) -> bool {
        if let Some(answered) = self.answered.get_mut(reactor)
            && *answered != Answered::Ended
        {
            *answered = Answered::Yes;
        }
        let was_ready = self.is_ready;
        self.is_ready |= self.all_have();
        self.is_ready && !was_ready
    }

    /// Records that a reactor has ended.
    pub(super) fn ended(&mut self, reactor: usize) {
        if let Some(answered) = self.answered.get_mut(reactor) {
            *answered = Answered::Ended;
        }
    }

    /// When to check the clock again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Checks the clock.
    pub(super) fn look(&mut self, now: Instant) -> Due {
        let (Some(every), Some(next)) = (self.every, self.next) else { return Due::Nothing };
        if now < next {
            return Due::Nothing;
        }
        self.next = Some(now + every);
        if !self.all_have() {
            return Due::Stuck;
        }
        for answered in &mut self.answered {
            if *answered == Answered::Yes {
                *answered = Answered::No;
            }
        }
        Due::Alive
    }

    fn all_have(&self) -> bool {
        self.answered.iter().all(|answered| *answered != Answered::No)
    }
}

/// The shortest time between two notifications, whatever the manager asks for.
const EVERY_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const HALF: Duration = Duration::from_secs(5);

    #[test]
    fn the_service_is_ready_once_when_the_last_reactor_has_answered() {
        let mut watch = Watch::new(2, None, Instant::now());
        assert!(!watch.answered(1));
        assert!(!watch.answered(1));
        assert!(watch.answered(0));
        assert!(!watch.answered(0));
        assert_eq!(watch.next(), None);
    }

    #[test]
    fn the_manager_is_told_only_while_every_reactor_answers() {
        let start = Instant::now();
        let mut watch = Watch::new(2, Some(PATIENCE), start);
        assert_eq!(watch.next(), Some(start + HALF));
        watch.answered(0);
        watch.answered(1);
        assert_eq!(watch.look(start), Due::Nothing);
        assert_eq!(watch.look(start + HALF), Due::Alive);
        // Asked again; one of them is stuck.
        watch.answered(0);
        assert_eq!(watch.look(start + HALF * 2), Due::Stuck);
        assert_eq!(watch.look(start + HALF * 3), Due::Stuck);
        watch.answered(1);
        assert_eq!(watch.look(start + HALF * 4), Due::Alive);
    }

    #[test]
    fn no_patience_is_so_short_that_the_clock_is_all_there_is_and_none_is_too_long() {
        let start = Instant::now();
        let watch = Watch::new(1, Some(Duration::from_micros(1)), start);
        assert_eq!(watch.next(), Some(start + EVERY_MIN));
        assert!(Watch::new(1, Some(Duration::from_micros(u64::MAX)), start).next() > Some(start));
    }

    #[test]
    fn a_reactor_that_has_ended_owes_no_answer() {
        let start = Instant::now();
        let mut watch = Watch::new(2, Some(PATIENCE), start);
        watch.answered(0);
        watch.answered(1);
        assert_eq!(watch.look(start + HALF), Due::Alive);
        watch.ended(1);
        watch.answered(0);
        assert_eq!(watch.look(start + HALF * 2), Due::Alive);
    }
}
