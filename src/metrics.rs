//! Counters of one reactor. Only its own thread writes them, so they never contend; others may read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a reactor has counted since it started.
pub struct Metrics {
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Upgrades that were answered with 101.
    pub upgraded: Counter,
    /// Tokens whose target was found.
    pub tokens_found: Counter,
    /// Unknown tokens.
    pub tokens_unknown: Counter,
    /// Requests of clients that may not.
    pub denied: Counter,
    /// Requests about which nothing could be found out.
    pub lookups_failed: Counter,
    /// Payload bytes written to targets.
    pub bytes_up: Counter,
    /// Bytes read from targets.
    pub bytes_down: Counter,
    /// Connections that are there now, those on their way to the reactor among them.
    pub live: AtomicUsize,
    /// How connections ended, by the kind's index.
    endings: Box<[Counter]>,
}

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        // There is one writer, so nothing is lost between the load and the store, and on the data path they
        // cost a tenth of an atomic addition.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// What has been counted so far.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// All zero, with room for `kinds` kinds of endings.
    pub fn new(kinds: usize) -> Metrics {
        Metrics {
            accepted: Counter::default(),
            upgraded: Counter::default(),
            tokens_found: Counter::default(),
            tokens_unknown: Counter::default(),
            denied: Counter::default(),
            lookups_failed: Counter::default(),
            bytes_up: Counter::default(),
            bytes_down: Counter::default(),
            live: AtomicUsize::new(0),
            endings: (0..kinds).map(|_| Counter::default()).collect(),
        }
    }

    /// Counts one ending of the kind with this index.
    pub fn ended(&self, kind: usize) {
        if let Some(counter) = self.endings.get(kind) {
            counter.add(1);
        }
    }

    /// How often each kind of ending was counted.
    pub fn endings(&self) -> impl Iterator<Item = u64> + '_ {
        self.endings.iter().map(Counter::total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_is_counted_under_its_own_kind() {
        let metrics = Metrics::new(3);
        metrics.ended(0);
        metrics.ended(2);
        metrics.ended(2);
        metrics.ended(9);
        assert_eq!(metrics.endings().collect::<Vec<_>>(), [1, 0, 2]);
    }
}
