//! How many lines of a kind may be logged in a period: an attacker who can cause a line must not be able to
//! fill a disk with it or drown the others. And how many connections there may be.

use std::fmt;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts lines by kind. Shared by all threads.
pub struct Limiter(Box<[Mutex<Window>]>);

struct Window {
    since: Option<Instant>,
    lines: u32,
    lines_max: u32,
    left_out: u64,
    /// Since the start.
    suppressed: u64,
}

impl Limiter {
    /// One kind for each of these numbers, which is how many of its lines may be written per [`WINDOW`].
    pub fn new(kinds: impl IntoIterator<Item = u32>) -> Limiter {
        let window =
            |lines_max| Mutex::new(Window { since: None, lines: 0, lines_max, left_out: 0, suppressed: 0 });
        Limiter(kinds.into_iter().map(window).collect())
    }

    /// Whether a line of this kind may be written now; if so, how many were left out since the last one.
    pub fn admit(&self, kind: usize, now: Instant) -> Option<u64> {
        let Some(window) = self.0.get(kind) else { return Some(0) };
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            window.since = Some(now);
            window.lines = 0;
        }
        if window.lines == window.lines_max {
            window.left_out += 1;
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }

    /// How many lines were left out since the start.
    pub fn suppressed(&self) -> u64 {
        self.0.iter().map(|window| window.lock().unwrap_or_else(PoisonError::into_inner).suppressed).sum()
    }

    /// How many lines of each kind were left out and not yet reported.
    pub fn left_out(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(|window| window.lock().unwrap_or_else(PoisonError::into_inner).left_out)
    }
}

/// How many connections there may be, and why no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Connections served at a time, over all listeners.
    pub connections_max: u32,
    /// The limit of open files, if that is what allows no more of them.
    pub open_files: Option<NonZero<u32>>,
}

/// Says that all places are taken, and what to change.
impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} connections are in use (--max-connections", self.connections_max)?;
        if let Some(open_files) = self.open_files {
            write!(f, "; ulimit -n is {open_files}")?;
        }
        f.write_str(")")
    }
}

/// After this time the counting starts over.
pub const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_cut_and_counted_and_leaves_the_others_alone() {
        let limiter = Limiter::new([10, 1]);
        let start = Instant::now();
        let admitted = (0..1000).filter(|_| limiter.admit(0, start).is_some()).count();
        assert_eq!(admitted, 10);
        assert_eq!(limiter.admit(1, start), Some(0));
        assert_eq!(limiter.left_out().collect::<Vec<_>>(), [990, 0]);
        assert_eq!(limiter.admit(0, start + WINDOW), Some(990));
        assert_eq!(limiter.admit(0, start + WINDOW), Some(0));
    }
}
