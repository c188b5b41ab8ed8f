//! The run queue: who is driven next. Work is counted as time. Connections whose last drive was short are light
//! and go first. Those whose last drive took longer, a piece of a bulk transfer for instance, are medium; those that
//! were dear are heavy. Between two looks at what has happened medium ones get no more time than the light ones
//! took, or one drive, and so do heavy ones. So a keystroke waits for a piece of a bulk transfer and for one signature
//! of a handshake or one costly head, and not for one of each connection; and a keystroke that happened to take long
//! waits behind pieces of transfers and not behind handshakes.
//!
//! What a connection will cost is not known before it was driven, so it is heavy until then.

use std::collections::VecDeque;

use super::stopwatch::Thresholds;
use crate::id::SLOTS_MAX;
use crate::timers::Tick;

/// Slots of connections that wait to be driven. Each is in here at most once, which its reactor sees to.
#[derive(Default)]
pub(super) struct Queue {
    light: VecDeque<u32>,
    /// How many of them may still be driven before the poll is asked again: those that waited at the turn's
    /// beginning.
    light_left: usize,
    medium: Line,
    heavy: Line,
    /// How many wait that are not light.
    others: usize,
    bulk_waiting: usize,
}

/// Those that are medium, or heavy. [`BULK`] is set for those that moved much when they were driven last.
#[derive(Default)]
struct Line {
    slots: VecDeque<u32>,
    left: usize,
}

/// What a drive of a connection is expected to cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Little: its last drive was short.
    Light,
    /// More, as its last drive did.
    Medium,
    /// Much, or it was never driven.
    Heavy,
}

/// What a connection has cost lately, and what follows for its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    weight: Weight,
    /// Whether it moved much when it was driven last.
    bulk: bool,
    /// What its drives have cost, the last ones most: an eighth of each, less an eighth of what was there.
    load: u64,
    /// It stays heavy until then.
    until: Tick,
}

/// How long the connections of a line may be driven in a turn: as long as the light ones were, and a little always.
pub(super) struct Budget {
    until: u64,
}

impl Account {
    /// A connection that has not been driven.
    pub(super) fn new() -> Account {
        Account { weight: Weight::Heavy, bulk: false, load: 0, until: Tick::ZERO }
    }

    /// Whether it goes first.
    #[inline]
    pub(super) fn is_light(&self) -> bool {
        self.weight == Weight::Light
    }

    /// Charges the cost of a drive, and notes whether it moved much. A connection that cost more than a light
    /// one is light again when its drives are short for a while, and one that was very dear not before a
    /// hundred times as long has passed, so that being cheap in between is of no use.
    #[inline]
    pub(super) fn charge(&mut self, cost: u64, bulk: bool, thresholds: &Thresholds, now: Tick) {
        self.load += cost / 8;
        self.load -= self.load / 8;
        if cost.max(self.load) > thresholds.light {
            self.charge_much(cost, bulk, thresholds, now);
        } else {
            self.weight = if now < self.until { Weight::Heavy } else { Weight::Light };
        }
    }

    fn charge_much(&mut self, cost: u64, bulk: bool, thresholds: &Thresholds, now: Tick) {
        self.bulk = bulk;
        if cost > thresholds.dear {
            // Two of the thresholds are a millisecond, and a tick is a hundred.
            let ticks = 1 + (cost / thresholds.dear / 2).min(TICKS_MAX);
            self.until = now.plus(ticks as u32);
        }
        self.weight = if now < self.until { Weight::Heavy } else { Weight::Medium };
    }
}

impl Queue {
    /// Puts a slot at the end of its line.
    #[inline]
    pub(super) fn push(&mut self, slot: u32, account: &Account) {
        if account.is_light() {
            self.light.push_back(slot);
        } else {
            self.push_other(slot, account);
        }
    }

    fn push_other(&mut self, slot: u32, account: &Account) {
        self.others += 1;
        self.bulk_waiting += usize::from(account.bulk);
        let line = if account.weight == Weight::Heavy { &mut self.heavy } else { &mut self.medium };
        line.slots.push_back(slot | if account.bulk { BULK } else { 0 });
    }

    /// Whether nobody waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.others == 0
    }

    /// How many wait that moved much.
    pub(super) fn bulk_waiting(&self) -> usize {
        self.bulk_waiting
    }

    /// Begins a turn, for those that wait now.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.light_left = self.light.len();
        if self.others > 0 {
            self.medium.left = self.medium.slots.len();
            self.heavy.left = self.heavy.slots.len();
        }
    }

    /// Whether light ones are to be driven in this turn.
    pub(super) fn has_light(&self) -> bool {
        self.light_left > 0
    }

    /// Whether any wait that are not light.
    #[inline]
    pub(super) fn has_others(&self) -> bool {
        self.others > 0
    }

    /// The next light one of this turn.
    #[inline]
    pub(super) fn pop_light(&mut self) -> Option<u32> {
        if self.light_left == 0 {
            return None;
        }
        self.light_left -= 1;
        self.light.pop_front()
    }

    /// The next of this turn in the line of this weight.
    pub(super) fn pop(&mut self, weight: Weight) -> Option<u32> {
        let line = match weight {
            Weight::Light => return self.pop_light(),
            Weight::Medium => &mut self.medium,
            Weight::Heavy => &mut self.heavy,
        };
        line.left = line.left.checked_sub(1)?;
        let slot = line.slots.pop_front()?;
        self.others -= 1;
        self.bulk_waiting -= usize::from(slot & BULK != 0);
        Some(slot & !BULK)
    }
}

impl Budget {
    /// What the light connections took, from a turn's beginning to now, for a line that begins now.
    pub(super) fn new(light: u64, now: u64, thresholds: &Thresholds) -> Budget {
        Budget { until: now.saturating_add(light.max(thresholds.turn)) }
    }

    /// Whether the time is over.
    pub(super) fn is_spent(&self, now: u64) -> bool {
        now >= self.until
    }
}

/// One drive makes a connection heavy for at most ten seconds: the machine may have stood still in it.
const TICKS_MAX: u64 = 100;

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
        let light = now - 1000;
        for weight in [Weight::Medium, Weight::Heavy] {
            let budget = Budget::new(light, now, &thresholds());
            while !budget.is_spent(now)
                && let Some(slot) = queue.pop(weight)
            {
                now += cost(slot);
                driven.push(slot);
            }
        }
        driven
    }

    fn push_medium(queue: &mut Queue, slot: u32) {
        queue.push(slot, &Account { weight: Weight::Medium, ..Account::new() });
    }

    fn push_light(queue: &mut Queue, slot: u32) {
        queue.push(slot, &Account { weight: Weight::Light, ..Account::new() });
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
        while let Some(slot) = queue.pop(Weight::Heavy) {
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
    fn a_keystroke_that_took_long_waits_behind_pieces_of_transfers_and_not_behind_handshakes() {
        let mut queue = Queue::default();
        (100..164).for_each(|slot| push_heavy(&mut queue, slot));
        (10..12).for_each(|slot| push_medium(&mut queue, slot));
        push_medium(&mut queue, 1);
        let cost = |slot| if slot >= 100 { 1_600_000 } else { 20_000 };
        assert_eq!(turn(&mut queue, cost), [10, 11, 1, 100]);
    }

    #[test]
    fn bulk_transfers_do_not_keep_new_connections_waiting() {
        let mut queue = Queue::default();
        (10..74).for_each(|slot| push_medium(&mut queue, slot));
        push_heavy(&mut queue, 100);
        assert_eq!(turn(&mut queue, |_| 60_000), [10, 100]);
    }

    #[test]
    fn those_that_moved_much_are_counted_while_they_wait() {
        let mut queue = Queue::default();
        let mut account = Account::new();
        account.charge(60_000, true, &thresholds(), Tick::ZERO);
        (0..3).for_each(|slot| queue.push(slot, &account));
        push_medium(&mut queue, 3);
        assert_eq!(queue.bulk_waiting(), 3);
        assert_eq!(turn(&mut queue, |_| 60_000), [0]);
        assert_eq!(queue.bulk_waiting(), 2);
        (0..20).for_each(|_| account.charge(3_000, false, &thresholds(), Tick::ZERO));
        queue.push(4, &account);
        assert_eq!(turn(&mut queue, |_| 1), [4, 1, 2, 3]);
        assert_eq!(queue.bulk_waiting(), 0);
    }

    #[test]
    fn a_connection_is_light_once_a_drive_was_short_and_heavy_when_one_was_long() {
        let mut account = Account::new();
        assert_eq!(account.weight, Weight::Heavy);
        let costs = [
            (50_000, Weight::Medium),
            (3_000, Weight::Light),
            (19_000, Weight::Light),
            (30_000, Weight::Medium),
            (3_000, Weight::Light),
            (600_000, Weight::Heavy),
            (30_000, Weight::Heavy),
        ];
        for (cost_ns, weight) in costs {
            account.charge(cost_ns, false, &thresholds(), Tick::ZERO);
            assert_eq!(account.weight, weight, "{cost_ns}");
        }
    }

    #[test]
    fn being_cheap_in_between_does_not_make_a_costly_connection_light() {
        let mut account = Account::new();
        let mut light = 0;
        for _ in 0..100 {
            // A head of 15 KiB, and the two bytes that make it whole.
            account.charge(300_000, false, &thresholds(), Tick::ZERO);
            account.charge(2_000, false, &thresholds(), Tick::ZERO);
            light += u32::from(account.is_light());
        }
        assert_eq!(light, 0);
        // Of a keystroke that took long once the next is light.
        let mut account = Account::new();
        account.charge(3_000, false, &thresholds(), Tick::ZERO);
        account.charge(100_000, false, &thresholds(), Tick::ZERO);
        account.charge(3_000, false, &thresholds(), Tick::ZERO);
        assert!(account.is_light());
    }

    #[test]
    fn one_dear_drive_costs_the_place_for_a_hundred_times_as_long() {
        let (mut account, start) = (Account::new(), Tick::ZERO.plus(5));
        account.charge(3_000, false, &thresholds(), start);
        account.charge(2_700_000, false, &thresholds(), start);
        for ticks in 0..3 {
            account.charge(3_000, false, &thresholds(), start.plus(ticks));
            assert_eq!(account.weight, Weight::Heavy, "after {ticks} ticks");
        }
        (0..40).for_each(|_| account.charge(3_000, false, &thresholds(), start.plus(3)));
        assert!(account.is_light());
    }
}
