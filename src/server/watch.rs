//! Whether all reactors are alive: each is asked, and answers when it comes to it. That makes the service ready,
//! and keeps the watchdog of the service manager quiet.

use std::time::{Duration, Instant};

/// Who has answered the last question.
pub(super) struct Watch {
    /// For each reactor. One that has ended has no more to answer.
    answered: Vec<Answered>,
    /// How often the manager is notified, if it wants to be: half of its patience.
    every: Option<Duration>,
    /// When it is due.
    next: Option<Instant>,
    is_ready: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answered {
    No,
    Yes,
    Ended,
}

/// What follows from looking at the clock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// All have answered: the manager is notified so, and they are asked again.
    Alive,
    /// One has not answered since it was asked. The manager is not notified.
    Stuck,
}

impl Watch {
    /// For this many reactors, which are asked from the start; `patience` is the manager's.
    pub(super) fn new(reactors: usize, patience: Option<Duration>, now: Instant) -> Watch {
        let every = patience.map(|patience| (patience / 2).max(EVERY_MIN));
        let next = every.map(|every| now + every);
        Watch { answered: vec![Answered::No; reactors], every, next, is_ready: false }
    }

    /// Takes in an answer; true when it is the last one that makes the service ready.
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

    /// Takes in that a reactor has ended.
    pub(super) fn ended(&mut self, reactor: usize) {
        if let Some(answered) = self.answered.get_mut(reactor) {
            *answered = Answered::Ended;
        }
    }

    /// When to look at the clock again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at the clock.
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

/// The shortest time between two words to the manager. One that wants more would get nothing else done.
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
