//! The run queue: who is driven next. Connections that moved much when they were driven last wait behind all
//! others, and few of them are driven between two looks at what has happened, so that a keystroke waits for
//! a piece of a bulk transfer and not for a piece of each.

use std::collections::VecDeque;

/// Slots of connections that wait to be driven. Each is in here at most once, which its connection sees to.
#[derive(Default)]
pub(super) struct Queue {
    light: VecDeque<u32>,
    heavy: VecDeque<u32>,
    /// How many may still be driven before the poll is asked again.
    light_left: usize,
    heavy_left: usize,
}

impl Queue {
    /// Puts a slot at the end of its line.
    pub(super) fn push(&mut self, slot: u32, heavy: bool) {
        if heavy { &mut self.heavy } else { &mut self.light }.push_back(slot);
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.heavy.is_empty()
    }

    /// How many wait that moved much.
    pub(super) fn heavy_len(&self) -> usize {
        self.heavy.len()
    }

    /// Begins a turn: all light ones that wait now are to be driven, and of the heavy ones one, and one more
    /// for each [`LIGHT_FOR_A_HEAVY`] of the light ones, so that a crowd of those does not starve them.
    pub(super) fn begin(&mut self) {
        self.light_left = self.light.len();
        self.heavy_left = (1 + self.light_left / LIGHT_FOR_A_HEAVY).min(self.heavy.len());
    }

    /// The next of this turn.
    pub(super) fn pop(&mut self) -> Option<u32> {
        if self.light_left > 0 {
            self.light_left -= 1;
            return self.light.pop_front();
        }
        self.heavy_left = self.heavy_left.checked_sub(1)?;
        self.heavy.pop_front()
    }
}

/// So many keystrokes take about as long as a piece of a bulk transfer.
const LIGHT_FOR_A_HEAVY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(queue: &mut Queue) -> Vec<u32> {
        queue.begin();
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn light_ones_come_first_and_one_heavy_one_has_its_turn() {
        let mut queue = Queue::default();
        queue.push(10, true);
        queue.push(11, true);
        queue.push(1, false);
        assert_eq!(turn(&mut queue), [1, 10]);
        queue.push(2, false);
        assert_eq!(turn(&mut queue), [2, 11]);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_is_marked_again_in_a_turn_waits_for_the_next() {
        let mut queue = Queue::default();
        queue.push(1, false);
        queue.push(10, true);
        queue.begin();
        while let Some(slot) = queue.pop() {
            queue.push(slot, slot >= 10);
        }
        assert_eq!(turn(&mut queue), [1, 10]);
    }

    #[test]
    fn a_crowd_of_light_ones_leaves_heavy_ones_their_share() {
        let mut queue = Queue::default();
        (100..200).for_each(|slot| queue.push(slot, true));
        (0..64).for_each(|slot| queue.push(slot, false));
        assert_eq!(turn(&mut queue).len(), 64 + 1 + 4);
        assert_eq!(turn(&mut queue), [105]);
    }
}
