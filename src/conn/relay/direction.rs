//! What one direction of a session holds for the end that has refused it, and since when.

use std::time::Duration;

use crate::ring::{Held, Pool};
use crate::timers::Tick;

/// One direction's bytes that its receiving end has refused.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) held: Option<Held>,
    /// When the receiving end refused bytes and has taken none since.
    pub(super) stalled_at: Tick,
}

impl Default for Direction {
    fn default() -> Direction {
        Direction { held: None, stalled_at: Tick::NEVER }
    }
}

impl Direction {
    /// Takes in that the receiving end was offered bytes, took `taken` of them, and `left` it the rest.
    pub(super) fn offered(&mut self, taken: usize, left: bool, now: Tick) {
        if !left {
            self.stalled_at = Tick::NEVER;
        } else if taken > 0 || self.stalled_at == Tick::NEVER {
            self.stalled_at = now;
        }
    }

    pub(super) fn is_stalled_for(&self, time: Duration, now: Tick) -> bool {
        self.stalled_at != Tick::NEVER && now.since(self.stalled_at) >= time
    }

    pub(super) fn len(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.data().len())
    }

    /// Drops the first `count` of the held bytes, which have been taken.
    pub(super) fn consume(&mut self, count: usize, rings: &mut Pool) {
        let Some(mut held) = self.held.take() else { return };
        held.consume(count);
        if held.is_empty() {
            rings.release(held);
        } else {
            self.held = Some(held);
        }
    }

    pub(super) fn release(&mut self, rings: &mut Pool) {
        if let Some(held) = self.held.take() {
            rings.release(held);
        }
        self.stalled_at = Tick::NEVER;
    }
}
