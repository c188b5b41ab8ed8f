//! Ring buffers on loan: a reactor's pool lends one to the connection that moves bytes right now, and gets it back.
//!
//! An idle session owns no buffer, and the ring that was given back last, still warm in the cache, is lent
//! next. Only bytes that the other end refused keep a ring across a turn, as [`Held`], which the pool
//! charges to its budget. Because a direction that holds bytes does not read more, a ring is always empty when it is
//! read into: its bytes lie in one piece and never wrap, so frames are decoded and written in place.

use crate::sys;

/// Capacity of a lent ring in bytes. docs/performance.md has the figures behind it. Two directions of a
/// session can hold one each, which makes 256 KiB the bound of a session; it is a little less than half of
/// that, because the allocator's header would add a whole page to a mapping of whole pages.
pub const RING_BYTES: usize = 128 * 1024 - 64;

/// A leftover of at most this many bytes moves to a buffer of its own size, and its ring goes back.
pub const LEFTOVER_BYTES: usize = 16 * 1024;

/// How many bytes that peers refused the process may hold, unless `--memory-limit` says otherwise; its
/// reactors share it equally.
pub const HELD_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A buffer whose data lies in one piece: free room, data, free room.
#[derive(Debug, Default)]
pub struct Ring {
    bytes: Box<[u8]>,
    head: u32,
    tail: u32,
}

impl Ring {
    /// An empty ring of `capacity` bytes, at most 4 GiB.
    pub fn with_capacity(capacity: usize) -> Ring {
        debug_assert!(u32::try_from(capacity).is_ok());
        Ring { bytes: vec![0; capacity].into_boxed_slice(), head: 0, tail: 0 }
    }

    /// A ring that is just large enough for `data`, and filled with it.
    pub fn holding(data: &[u8]) -> Ring {
        debug_assert!(u32::try_from(data.len()).is_ok());
        Ring { bytes: data.into(), head: 0, tail: data.len() as u32 }
    }

    /// Capacity in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that are filled and not consumed.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.head as usize..self.tail as usize]
    }

    /// The same, for changing it in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.head as usize..self.tail as usize]
    }

    /// Number of bytes in [`Ring::data`].
    pub fn len(&self) -> usize {
        (self.tail - self.head) as usize
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// The free room behind the data, for reading into.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.tail as usize..]
    }

    /// Makes the first `count` bytes of [`Ring::space`] data.
    pub fn fill(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.tail as usize, "filled beyond the space");
        self.tail += count as u32;
    }

    /// Drops the first `count` bytes of the data. An empty ring starts over at its first byte.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed beyond the data");
        self.head += count as u32;
        if self.head == self.tail {
            self.clear();
        }
    }

    /// Drops all data.
    pub fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
    }

    /// Makes the data of an empty ring start at `room`, so that a header fits before it.
    pub fn leave_room(&mut self, room: usize) {
        debug_assert!(self.is_empty() && room <= self.bytes.len());
        self.head = room as u32;
        self.tail = room as u32;
    }

    /// Lets `write` put a header into the room before the data: it gets the whole buffer, the index and the
    /// length of the data, and returns the index at which the header starts.
    pub fn prepend(&mut self, write: impl FnOnce(&mut [u8], usize, usize) -> usize) {
        let (head, len) = (self.head as usize, self.len());
        let start = write(&mut self.bytes, head, len);
        assert!(start <= head, "a header starts before its data");
        self.head = start as u32;
    }
}

/// Bytes that an end refused, kept until it takes them. Goes back to [`Pool::release`], nowhere else.
#[derive(Debug)]
pub struct Held(Ring);

impl Held {
    /// The bytes that are still to be written.
    pub fn data(&self) -> &[u8] {
        self.0.data()
    }

    /// Drops the first `count` bytes, which have been written.
    pub fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }

    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its memory cost in bytes, however much of it has been written.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

/// The rings of one reactor.
pub struct Pool {
    free: Vec<Ring>,
    held_bytes: usize,
    budget_bytes: usize,
    /// The fewest free rings since the last [`Pool::trim`]: this many were not needed.
    unused: usize,
    /// Bytes in small buffers now, and the most there were since the heap was last trimmed. They are too
    /// small for mappings of their own, so freeing them gives nothing back.
    small_bytes: usize,
    small_bytes_peak: usize,
}

impl Pool {
    /// An empty pool whose held bytes should stay within `budget_bytes`.
    pub fn new(budget_bytes: usize) -> Pool {
        Pool { free: Vec::new(), held_bytes: 0, budget_bytes, unused: 0, small_bytes: 0, small_bytes_peak: 0 }
    }

    /// Lends an empty ring of [`RING_BYTES`] for the current turn. This never fails: what is bounded is what
    /// may be kept beyond the turn, so there is always a ring to make progress with, and none has to be waited for.
    pub fn take(&mut self) -> Ring {
        let ring = self.free.pop();
        self.unused = self.unused.min(self.free.len());
        ring.unwrap_or_else(|| Ring::with_capacity(RING_BYTES))
    }

    /// Takes a ring back; its data is dropped.
    pub fn give(&mut self, mut ring: Ring) {
        if ring.capacity() == RING_BYTES {
            ring.clear();
            self.free.push(ring);
        }
    }

    /// Keeps the data of `ring` beyond the turn; little data moves to a buffer of its own size.
    pub fn hold(&mut self, ring: Ring) -> Held {
        let held = if ring.len() <= LEFTOVER_BYTES {
            let small = Ring::holding(ring.data());
            self.give(ring);
            self.small_bytes += small.capacity();
            self.small_bytes_peak = self.small_bytes_peak.max(self.small_bytes);
            small
        } else {
            ring
        };
        self.held_bytes += held.capacity();
        Held(held)
    }

    /// Takes back what was held, written or not.
    pub fn release(&mut self, held: Held) {
        let capacity = held.0.capacity();
        self.held_bytes -= capacity;
        // What counted as small when it was held: larger buffers have mappings of their own.
        if capacity <= LEFTOVER_BYTES {
            self.small_bytes -= capacity;
        }
        self.give(held.0);
    }

    /// Counts bytes as held that are kept elsewhere, until [`Pool::discharge`].
    pub fn charge(&mut self, bytes: usize) {
        self.held_bytes += bytes;
        self.small_bytes += bytes;
        self.small_bytes_peak = self.small_bytes_peak.max(self.small_bytes);
    }

    /// Takes back what was charged.
    pub fn discharge(&mut self, bytes: usize) {
        self.held_bytes -= bytes;
        self.small_bytes -= bytes;
    }

    /// Bytes held for sessions at this moment.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Bytes in free rings.
    pub fn free_bytes(&self) -> usize {
        self.free.len() * RING_BYTES
    }

    /// Whether more is held than the budget allows, so that a session has to end.
    pub fn is_overcommitted(&self) -> bool {
        self.held_bytes > self.budget_bytes
    }

    /// How many bytes may be read at a time for a slow receiver: a whole ring, or only a little once half of
    /// the budget is spent, so that many peers that stop reading cost little each.
    pub fn read_limit(&self) -> usize {
        if self.held_bytes < self.budget_bytes / 2 { RING_BYTES } else { PRESSED_READ_BYTES }
    }

    /// Returns to the system the rings that were not needed since the last call, and what many small buffers
    /// have left behind.
    pub fn trim(&mut self) {
        if self.has_loose_heap() {
            self.small_bytes_peak = self.small_bytes;
            sys::trim_heap();
        }
        let surplus = self.unused.min(self.free.len().saturating_sub(FREE_RINGS_KEPT));
        self.free.truncate(self.free.len() - surplus);
        self.unused = self.free.len();
    }

    /// Whether there is something that [`Pool::trim`] may give back, so that it should be called in a while.
    pub fn has_surplus(&self) -> bool {
        self.free.len() > FREE_RINGS_KEPT || self.has_loose_heap()
    }

    fn has_loose_heap(&self) -> bool {
        let freed = self.small_bytes_peak - self.small_bytes;
        let calm = self.small_bytes <= self.small_bytes_peak / 4;
        freed >= if calm { LOOSE_HEAP_BYTES_CALM } else { LOOSE_HEAP_BYTES }
    }
}

/// Free rings that an idle reactor keeps: one for each thing that one drive can have in hand.
const FREE_RINGS_KEPT: usize = 4;

/// Small buffers that were freed since the heap was last trimmed make it worth a walk through it.
const LOOSE_HEAP_BYTES: usize = 4 * 1024 * 1024;

/// So do fewer once most of them are gone, since then they may not be needed again soon.
const LOOSE_HEAP_BYTES_CALM: usize = 256 * 1024;

/// What a read may ask for while memory is short.
const PRESSED_READ_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A small generator of numbers, so that a failure can be repeated (Marsaglia's xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % bound as u64) as usize
        }
    }

    #[test]
    fn a_ring_gives_out_what_a_queue_would() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for capacity in [1, 2, 13, 64, 1000] {
            let mut ring = Ring::with_capacity(capacity);
            let mut queue = VecDeque::new();
            for step in 0..4000_u32 {
                if random.below(2) == 0 {
                    let space = ring.space();
                    let count = random.below(space.len() + 1);
                    for (at, byte) in space[..count].iter_mut().enumerate() {
                        *byte = (step as usize + at) as u8;
                        queue.push_back(*byte);
                    }
                    ring.fill(count);
                } else {
                    let count = random.below(ring.len() + 1);
                    let expected: Vec<u8> = queue.drain(..count).collect();
                    assert_eq!(&ring.data()[..count], expected);
                    ring.consume(count);
                }
                assert_eq!(ring.len(), queue.len());
                assert!(ring.data().iter().eq(queue.iter()));
                assert!(!ring.is_empty() || ring.space().len() == capacity, "an empty ring starts over");
            }
        }
    }

    #[test]
    fn a_header_goes_right_before_the_data() {
        let mut ring = Ring::with_capacity(64);
        ring.leave_room(10);
        ring.space()[..5].copy_from_slice(b"hello");
        ring.fill(5);
        ring.prepend(|bytes, at, len| {
            assert_eq!((at, len), (10, 5));
            bytes[8..10].copy_from_slice(b"> ");
            8
        });
        assert_eq!(ring.data(), b"> hello");
    }

    #[test]
    fn a_small_leftover_frees_its_ring_and_keeps_its_bytes() {
        let mut pool = Pool::new(HELD_BYTES_MAX);
        let mut ring = pool.take();
        ring.space()[..3].copy_from_slice(b"abc");
        ring.fill(3);
        ring.consume(1);
        let held = pool.hold(ring);
        assert_eq!((held.data(), pool.held_bytes(), pool.free.len()), (&b"bc"[..], 2, 1));
        pool.release(held);
        assert_eq!((pool.held_bytes(), pool.free.len()), (0, 1));
    }

    #[test]
    fn a_large_leftover_keeps_its_ring_and_is_charged_for_it() {
        let mut pool = Pool::new(RING_BYTES);
        let mut ring = pool.take();
        ring.fill(LEFTOVER_BYTES + 1);
        let held = pool.hold(ring);
        assert_eq!((pool.held_bytes(), pool.free.len()), (RING_BYTES, 0));
        assert!(!pool.is_overcommitted() && pool.read_limit() < RING_BYTES);
        let mut second = pool.take();
        second.fill(1);
        let second = pool.hold(second);
        assert!(pool.is_overcommitted());
        pool.release(held);
        pool.release(second);
        assert_eq!((pool.held_bytes(), pool.read_limit()), (0, RING_BYTES));
    }

    #[test]
    fn the_data_of_a_ring_is_changed_where_it_lies() {
        let mut ring = Ring::holding(b"-abc");
        ring.consume(1);
        ring.data_mut().make_ascii_uppercase();
        assert_eq!(ring.data(), b"ABC");
    }

    #[test]
    fn what_is_held_is_there_until_it_is_written_and_costs_the_same_all_the_time() {
        let mut pool = Pool::new(HELD_BYTES_MAX);
        let mut held = pool.hold(Ring::holding(b"abc"));
        assert_eq!((held.data(), held.is_empty(), held.capacity()), (&b"abc"[..], false, 3));
        held.consume(1);
        assert_eq!((held.data(), held.is_empty(), held.capacity()), (&b"bc"[..], false, 3));
        held.consume(2);
        assert_eq!((held.data(), held.is_empty(), held.capacity()), (&b""[..], true, 3));
        pool.release(held);
        assert_eq!(pool.held_bytes(), 0);
    }

    #[test]
    fn bytes_that_are_kept_elsewhere_count_as_held_and_as_small_buffers() {
        let mut pool = Pool::new(1000);
        pool.charge(400);
        pool.charge(600);
        assert_eq!((pool.held_bytes(), pool.is_overcommitted()), (1000, false));
        pool.charge(1);
        assert!(pool.is_overcommitted());
        pool.discharge(502);
        assert_eq!((pool.held_bytes(), pool.read_limit()), (499, RING_BYTES));
        pool.charge(1);
        assert_eq!(pool.read_limit(), PRESSED_READ_BYTES, "half of the budget is spent");
        pool.discharge(500);
        pool.charge(LOOSE_HEAP_BYTES_CALM);
        assert!(!pool.has_surplus());
        pool.discharge(LOOSE_HEAP_BYTES_CALM - 1);
        assert!(!pool.has_surplus());
        pool.discharge(1);
        assert!(pool.has_surplus());
        pool.trim();
        assert!(!pool.has_surplus(), "it was given back");
    }

    #[test]
    fn while_most_small_buffers_are_of_use_few_that_were_freed_are_no_matter() {
        let mut pool = Pool::new(HELD_BYTES_MAX);
        pool.charge(2 * LOOSE_HEAP_BYTES);
        pool.discharge(LOOSE_HEAP_BYTES - 1);
        assert!(!pool.has_surplus());
        pool.discharge(1);
        assert!(pool.has_surplus());
        pool.trim();
        assert!(!pool.has_surplus());
        // What is freed counts from the most there was since then, and a quarter of that is few.
        pool.discharge(3 * LOOSE_HEAP_BYTES / 4 - 1);
        assert!(!pool.has_surplus());
        pool.discharge(1);
        assert!(pool.has_surplus());
    }

    #[test]
    fn of_a_leftover_of_16_kib_the_ring_goes_back() {
        let mut pool = Pool::new(HELD_BYTES_MAX);
        let mut ring = pool.take();
        ring.fill(LEFTOVER_BYTES);
        let held = pool.hold(ring);
        assert_eq!((held.capacity(), pool.free.len(), pool.small_bytes), (LEFTOVER_BYTES, 1, LEFTOVER_BYTES));
        pool.release(held);
        assert_eq!((pool.free.len(), pool.small_bytes), (1, 0), "a small buffer is not lent");
    }

    #[test]
    fn many_small_leftovers_are_worth_a_trim_when_they_are_gone() {
        let mut pool = Pool::new(HELD_BYTES_MAX);
        let mut hold = || {
            let mut ring = pool.take();
            ring.fill(LEFTOVER_BYTES);
            pool.hold(ring)
        };
        let held: Vec<Held> = (0..=LOOSE_HEAP_BYTES_CALM / LEFTOVER_BYTES).map(|_| hold()).collect();
        assert!(!pool.has_surplus(), "nothing is freed yet");
        let mut held = held.into_iter();
        pool.release(held.next().expect("many"));
        assert!(!pool.has_surplus(), "one buffer is not worth it");
        held.for_each(|held| pool.release(held));
        assert!(pool.has_surplus());
        pool.trim();
        assert!(!pool.has_surplus());
    }

    #[test]
    fn rings_that_nobody_took_go_back_to_the_system_and_busy_ones_stay() {
        let mut pool = Pool::new(HELD_BYTES_MAX);
        let lent: Vec<Ring> = (0..20).map(|_| pool.take()).collect();
        lent.into_iter().for_each(|ring| pool.give(ring));
        pool.trim();
        assert_eq!(pool.free.len(), 20, "all were in use since the last look");
        let busy: Vec<Ring> = (0..9).map(|_| pool.take()).collect();
        busy.into_iter().for_each(|ring| pool.give(ring));
        pool.trim();
        assert_eq!(pool.free.len(), 9, "nine were in use at a time");
        pool.trim();
        assert_eq!((pool.free.len(), pool.has_surplus()), (FREE_RINGS_KEPT, false));
    }
}
