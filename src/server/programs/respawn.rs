//! When to restart a program that has ended: at once, unless it was started too often recently.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most recent starts of the program.
#[derive(Debug, Default)]
pub(super) struct Starts(VecDeque<Instant>);

impl Starts {
    /// Records a start.
    pub(super) fn note(&mut self, now: Instant) {
        self.0.push_back(now);
        if self.0.len() > COUNTED {
            self.0.pop_front();
        }
    }

    /// When it may be started again; `None` while there were too few starts to count.
    pub(super) fn next(&self) -> Option<Instant> {
        let first = *self.0.front().filter(|_| self.0.len() == COUNTED)?;
        let since: Duration = self.0.iter().map(|start| start.duration_since(first)).sum();
        Some(first + since / COUNTED as u32 + REST)
    }
}

/// Starts whose mean counts.
const COUNTED: usize = 3;

/// How long ago the mean of the last starts must be.
const REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays starts of a program that ends this many milliseconds after each; their times in milliseconds.
    fn starts(life: u64, count: usize) -> Vec<u64> {
        let begin = Instant::now();
        let mut starts = Starts::default();
        let (mut now, mut all) = (begin, Vec::new());
        for _ in 0..count {
            all.push((now - begin).as_millis() as u64);
            starts.note(now);
            let ended = now + Duration::from_millis(life);
            now = starts.next().map_or(ended, |next| next.max(ended));
        }
        all
    }

    #[test]
    fn three_quick_starts_then_one_when_the_mean_of_the_last_three_is_ten_seconds_ago() {
        assert_eq!(starts(0, 7), [0, 0, 0, 10_000, 13_333, 17_777, 23_703]);
        assert_eq!(starts(1000, 4), [0, 1000, 2000, 11_000]);
    }

    #[test]
    fn a_program_that_lives_long_enough_is_started_at_once() {
        assert_eq!(starts(10_000, 5), [0, 10_000, 20_000, 30_000, 40_000]);
        // The mean of 0, 6 and 12 s is 6 s.
        assert_eq!(starts(6000, 4), [0, 6000, 12_000, 18_000]);
    }
}
