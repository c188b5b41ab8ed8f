//! Who ends when too much is held for peers that do not read.
//!
//! The connections that cause it are dropped, not the oldest: of the origins that hold most, those
//! connections that hold most, and of them the one whose stall is the youngest, since the last one to stall
//! exceeded the limit. A stall that has just begun may be a moment of a busy transfer, so it counts only if
//! most of what is held is as young.

use std::collections::HashMap;
use std::time::Duration;

use crate::net::listen::Origin;
use crate::timers::Tick;

/// What one connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Burden {
    /// Its slot.
    pub(super) number: u32,
    /// Where it comes from.
    pub(super) origin: Origin,
    /// Bytes held for it.
    pub(super) bytes: usize,
    /// Since when; of a connection that is not served yet, when it came.
    pub(super) since: Tick,
    /// Whether it is served. A request on its way is small and young, and never chosen beside others.
    pub(super) is_served: bool,
}

impl Burden {
    fn is_light(&self, now: Tick) -> bool {
        !self.is_served && self.bytes <= REQUEST_BYTES && now.since(self.since) < YOUNG
    }
}

/// The connection that should end, if any of these holds something.
pub(super) fn choose(mut burdens: Vec<Burden>, now: Tick) -> Option<u32> {
    keep_some(&mut burdens, |burden| !burden.is_light(now));
    let mut origins: HashMap<Origin, usize> = HashMap::new();
    for burden in &burdens {
        *origins.entry(burden.origin).or_default() += burden.bytes;
    }
    let most = origins.values().copied().max()?;
    burdens.retain(|burden| 2 * origins[&burden.origin] >= most);
    let is_old = |burden: &Burden| now.since(burden.since) >= YOUNG;
    let sum = |burdens: &[Burden], of: &dyn Fn(&Burden) -> bool| -> usize {
        burdens.iter().filter(|burden| of(burden)).map(|burden| burden.bytes).sum()
    };
    if 2 * sum(&burdens, &is_old) >= sum(&burdens, &|_| true) {
        keep_some(&mut burdens, is_old);
    }
    let most = burdens.iter().map(|burden| burden.bytes).max()?;
    let heavy = burdens.iter().filter(|burden| 2 * burden.bytes >= most);
    heavy.max_by_key(|burden| burden.since).map(|burden| burden.number)
}

/// Keeps those that `which` picks, or all if it picks none.
fn keep_some(burdens: &mut Vec<Burden>, which: impl Fn(&Burden) -> bool) {
    if burdens.iter().any(&which) {
        burdens.retain(which);
    }
}

/// A stall that is younger may be none.
const YOUNG: Duration = Duration::from_secs(1);

/// What a request that is on its way may hold without being called heavy.
const REQUEST_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick::ZERO;

    fn now() -> Tick {
        NOW.after(Duration::from_secs(100))
    }

    /// A session that stalled this many milliseconds ago.
    fn session(number: u32, origin: u32, kib: usize, ago_ms: u64) -> Burden {
        let since = now().minus(Tick::ticks_of(Duration::from_millis(ago_ms)));
        Burden { number, origin: Origin::V4(origin), bytes: kib * 1024, since, is_served: true }
    }

    fn request(number: u32, kib: usize, ago_ms: u64) -> Burden {
        Burden { is_served: false, ..session(number, 1, kib, ago_ms) }
    }

    #[test]
    fn who_stalled_first_stays_beside_a_crowd_of_the_same_origin() {
        // A burst, and the same crowd later.
        for ago in [300, 5_000] {
            let mut burdens = vec![session(0, 1, 128, 60_000)];
            burdens.extend((1..8).map(|number| session(number, 1, 128, ago - u64::from(number))));
            let chosen = choose(burdens, now());
            assert!(chosen > Some(0), "{chosen:?}");
        }
    }

    #[test]
    fn the_origin_that_holds_most_pays() {
        let mut burdens = vec![session(0, 2, 128, 60_000), session(1, 3, 128, 50)];
        burdens.extend((2..40).map(|number| session(number, 1, 16, 5_000)));
        assert!(choose(burdens, now()) >= Some(2));
    }

    #[test]
    fn a_transfer_that_waits_for_a_moment_is_not_taken_for_a_stall() {
        let burdens = vec![session(0, 1, 128, 50), session(1, 1, 128, 5_000), session(2, 1, 128, 4_000)];
        assert_eq!(choose(burdens, now()), Some(2));
    }

    #[test]
    fn who_holds_little_stays() {
        let burdens = vec![session(0, 1, 2, 5_000), session(1, 1, 128, 50_000), session(2, 1, 3, 2_000)];
        assert_eq!(choose(burdens, now()), Some(1));
    }

    #[test]
    fn a_request_that_comes_in_two_packets_stays_and_one_that_is_long_or_old_does_not() {
        let young = |number| request(number, 1, 200);
        assert_eq!(choose(vec![young(0), request(1, 1, 4_000), young(2)], now()), Some(1));
        assert_eq!(choose(vec![young(0), request(1, 60, 200), young(2)], now()), Some(1));
        assert!(choose(vec![young(0), young(2)], now()).is_some(), "where there is nothing else");
        assert_eq!(choose(Vec::new(), now()), None);
    }
}
