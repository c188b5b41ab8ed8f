//! The run queue: who is driven next. Work is counted as time. Connections whose last drive was short are light
//! and go first; all others are heavy, and between two looks at what has happened they get no more time than
//! the light ones took, or one drive. So a keystroke waits for a piece of a bulk transfer, for one signature of a
//! handshake or for one costly head, and not for one of each connection.
//!
//! What a connection will cost is not known before it was driven, so it is heavy until a drive was short.

use std::collections::VecDeque;

use super::stopwatch::Thresholds;
use crate::id::SLOTS_MAX;
use crate::timers::Tick;

/// Slots of connections that wait to be driven. Each is in here at most once, which its reactor sees to.
#[derive(Default)]
pub(super) struct Queue {
    light: VecDeque<u32>,
    /// With [`BULK`] set for those that moved much when they were driven last.
    heavy: VecDeque<u32>,
    /// How many of each may still be driven before the poll is asked again: those that waited at the turn's
    /// beginning.
    light_left: usize,
    heavy_left: usize,
    bulk_waiting: usize,
}

/// What a connection has cost lately, and what follows for its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    heavy: bool,
    /// Whether it moved much when it was driven last.
    bulk: bool,
    /// It stays heavy until then.
    until: Tick,
}

/// How long heavy connections may be driven in a turn: as long as the light ones were, and a little always.
pub(super) struct Budget {
    until: u64,
}

impl Account {
    /// A connection that has not been driven.
    pub(super) fn new() -> Account {
        Account { heavy: true, bulk: false, until: Tick::ZERO }
    }

    /// Takes in what a drive has cost, and whether it moved much. A connection that was very dear is not light again
    /// for a hundred times as long, so that none gets a hundredth of the reactor's time as a light one by being
    /// cheap in between.
    #[inline]
    pub(super) fn charge(&mut self, cost: u64, bulk: bool, thresholds: &Thresholds, now: Tick) {
        if cost > thresholds.light {
            self.charge_heavy(cost, bulk, thresholds, now);
        } else {
            self.heavy = now < self.until;
        }
    }

    fn charge_heavy(&mut self, cost: u64, bulk: bool, thresholds: &Thresholds, now: Tick) {
        (self.heavy, self.bulk) = (true, bulk);
        if cost > thresholds.dear {
            // Two of the thresholds are a millisecond, and a tick is a hundred.
            let ticks = 1 + cost / thresholds.dear / 2;
            self.until = now.plus(u32::try_from(ticks).unwrap_or(u32::MAX));
        }
    }
}

impl Queue {
    /// Puts a slot at the end of its line.
    pub(super) fn push(&mut self, slot: u32, account: &Account) {
        if !account.heavy {
            return self.light.push_back(slot);
        }
        self.bulk_waiting += usize::from(account.bulk);
        self.heavy.push_back(slot | if account.bulk { BULK } else { 0 });
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.heavy.is_empty()
    }

    /// How many heavy ones wait that moved much.
    pub(super) fn bulk_waiting(&self) -> usize {
        self.bulk_waiting
    }

    /// Begins a turn, for those that wait now.
    pub(super) fn begin(&mut self) {
        (self.light_left, self.heavy_left) = (self.light.len(), self.heavy.len());
    }

    /// Whether heavy ones are to be driven in this turn.
    pub(super) fn has_heavy(&self) -> bool {
        self.heavy_left > 0
    }

    /// The next light one of this turn.
    pub(super) fn pop_light(&mut self) -> Option<u32> {
        self.light_left = self.light_left.checked_sub(1)?;
        self.light.pop_front()
    }

    /// The next heavy one of this turn.
    pub(super) fn pop_heavy(&mut self) -> Option<u32> {
        self.heavy_left = self.heavy_left.checked_sub(1)?;
        let slot = self.heavy.pop_front()?;
        self.bulk_waiting -= usize::from(slot & BULK != 0);
        Some(slot & !BULK)
    }
}

impl Budget {
    /// For a turn that began at `begun` and whose light connections were all driven by `now`.
    pub(super) fn new(begun: u64, now: u64, thresholds: &Thresholds) -> Budget {
        Budget { until: now.saturating_add(now.saturating_sub(begun).max(thresholds.turn)) }
    }

    /// Whether the time is over.
    pub(super) fn is_spent(&self, now: u64) -> bool {
        now >= self.until
    }
}

/// A bit above all slots.
const BULK: u32 = 1 << 31;

const _: () = assert!(SLOTS_MAX <= BULK);

#[cfg(test)]
mod tests {
    use super::*;

    /// A step is a nanosecond.
    fn thresholds() -> Thresholds {
        Thresholds::at(1000, 0)
    }

    /// One turn, in which each slot costs what `cost` says.
    fn turn(queue: &mut Queue, cost: impl Fn(u32) -> u64) -> Vec<u32> {
        let (mut driven, mut now) = (Vec::new(), 1000);
        queue.begin();
        while let Some(slot) = queue.pop_light() {
            now += cost(slot);
            driven.push(slot);
        }
        let budget = Budget::new(1000, now, &thresholds());
        while !budget.is_spent(now)
            && let Some(slot) = queue.pop_heavy()
        {
            now += cost(slot);
            driven.push(slot);
        }
        driven
    }

    fn push_light(queue: &mut Queue, slot: u32) {
        queue.push(slot, &Account { heavy: false, bulk: false, until: Tick::ZERO });
    }

    fn push_heavy(queue: &mut Queue, slot: u32) {
        queue.push(slot, &Account::new());
    }

    #[test]
    fn light_ones_come_first_and_one_heavy_one_has_its_turn() {
        let mut queue = Queue::default();
        push_heavy(&mut queue, 10);
        push_heavy(&mut queue, 11);
        push_light(&mut queue, 1);
        let cost = |slot| if slot >= 10 { 60_000 } else { 3_000 };
        assert_eq!(turn(&mut queue, cost), [1, 10]);
        push_light(&mut queue, 2);
        assert_eq!(turn(&mut queue, cost), [2, 11]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_slot_that_is_marked_again_in_a_turn_waits_for_the_next() {
        let mut queue = Queue::default();
        push_light(&mut queue, 1);
        push_heavy(&mut queue, 10);
        queue.begin();
        while let Some(slot) = queue.pop_light() {
            push_light(&mut queue, slot);
        }
        while let Some(slot) = queue.pop_heavy() {
            push_heavy(&mut queue, slot);
        }
        assert_eq!(turn(&mut queue, |_| 1), [1, 10]);
    }

    #[test]
    fn a_crowd_of_light_ones_leaves_heavy_ones_as_much_time_as_it_takes() {
        let mut queue = Queue::default();
        (100..200).for_each(|slot| push_heavy(&mut queue, slot));
        (0..64).for_each(|slot| push_light(&mut queue, slot));
        // 64 times 3 us are 192 us: four pieces of 60 us are the first that reach them.
        let cost = |slot| if slot >= 100 { 60_000 } else { 3_000 };
        assert_eq!(turn(&mut queue, cost).len(), 64 + 4);
        assert_eq!(turn(&mut queue, cost), [104]);
    }

    #[test]
    fn of_cheap_ones_that_are_not_proven_several_have_their_turn() {
        let mut queue = Queue::default();
        (0..100).for_each(|slot| push_heavy(&mut queue, slot));
        assert_eq!(turn(&mut queue, |_| 10_000), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_keystroke_waits_for_one_signature_and_not_for_those_that_came_before_it() {
        let mut queue = Queue::default();
        // Hellos on new connections, each worth 1.6 ms, and then a keystroke.
        (100..164).for_each(|slot| push_heavy(&mut queue, slot));
        push_light(&mut queue, 1);
        assert_eq!(turn(&mut queue, |slot| if slot >= 100 { 1_600_000 } else { 3_000 }), [1, 100]);
    }

    #[test]
    fn those_that_moved_much_are_counted_while_they_wait() {
        let mut queue = Queue::default();
        let mut account = Account::new();
        account.charge(60_000, true, &thresholds(), Tick::ZERO);
        (0..3).for_each(|slot| queue.push(slot, &account));
        push_heavy(&mut queue, 3);
        assert_eq!(queue.bulk_waiting(), 3);
        assert_eq!(turn(&mut queue, |_| 60_000), [0]);
        assert_eq!(queue.bulk_waiting(), 2);
        account.charge(3_000, false, &thresholds(), Tick::ZERO);
        queue.push(4, &account);
        assert_eq!(turn(&mut queue, |_| 1), [4, 1, 2, 3]);
        assert_eq!(queue.bulk_waiting(), 0);
    }

    #[test]
    fn a_connection_is_light_once_a_drive_was_short_and_heavy_when_one_was_long() {
        let mut account = Account::new();
        assert!(account.heavy);
        for (cost_ns, heavy) in
            [(50_000, true), (3_000, false), (19_000, false), (30_000, true), (3_000, false)]
        {
            account.charge(cost_ns, false, &thresholds(), Tick::ZERO);
            assert_eq!(account.heavy, heavy, "{cost_ns}");
        }
    }

    #[test]
    fn one_dear_drive_costs_the_place_for_a_hundred_times_as_long() {
        let (mut account, start) = (Account::new(), Tick::ZERO.plus(5));
        account.charge(3_000, false, &thresholds(), start);
        account.charge(2_700_000, false, &thresholds(), start);
        for ticks in 0..3 {
            account.charge(3_000, false, &thresholds(), start.plus(ticks));
            assert!(account.heavy, "after {ticks} ticks");
        }
        account.charge(3_000, false, &thresholds(), start.plus(3));
        assert!(!account.heavy);
    }
}
