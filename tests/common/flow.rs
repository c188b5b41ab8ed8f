//! Long streams of known bytes: a pattern that shows a lost, doubled or moved byte at its first place,
//! and a sender that knows when it has been stalled.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frame::{KEY, apply_mask};
use super::wire::Wire;
use super::{DEADLINE, eventually};

/// The pattern from stream position `position` on: at least 128 KB of it.
///
/// Its period is a prime, so that no chunk, ring or frame size is a multiple of it.
pub(crate) fn pattern_at(position: u64) -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut state = 0x2545_f491_u32;
        let period: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        period.iter().cycle().take(3 * PERIOD).copied().collect()
    });
    let start = usize::try_from(position % PERIOD as u64).expect("smaller than the period");
    &table[start..]
}

/// The same, masked with the tests' key from its first byte on. Made once, since builds for tests are slow
/// at masking tens of megabytes.
pub(crate) fn masked_at(position: u64) -> &'static [u8] {
    static TABLES: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    let tables = TABLES.get_or_init(|| {
        [0, 1, 2, 3].map(|phase| {
            let mut key = KEY;
            key.rotate_right(phase);
            let mut table = pattern_at(0).to_vec();
            apply_mask(&mut table, key);
            table
        })
    });
    let start = usize::try_from(position % PERIOD as u64).expect("smaller than the period");
    &tables[start % 4][start..]
}

const PERIOD: usize = 65_521;

/// `count` bytes of the pattern from its start.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        let part = pattern_at(bytes.len() as u64);
        bytes.extend_from_slice(&part[..part.len().min(count - bytes.len())]);
    }
    bytes
}

/// Compares a stream with the pattern as it comes.
#[derive(Debug, Default)]
pub(crate) struct Check {
    /// How many bytes have been compared.
    pub(crate) position: u64,
}

impl Check {
    /// Compares the next bytes. Panics at the first that differs.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let expected = pattern_at(self.position);
            let count = expected.len().min(bytes.len());
            if bytes[..count] != expected[..count] {
                let off = (0..count).find(|&at| bytes[at] != expected[at]).unwrap_or(0);
                panic!("the stream differs from what was sent at byte {}", self.position + off as u64);
            }
            self.position += count as u64;
            bytes = &bytes[count..];
        }
    }

    /// Reads `wire` until `total` bytes have been compared.
    pub(crate) fn read(&mut self, wire: &mut Wire, total: u64) {
        let mut space = vec![0; 64 * 1024];
        while self.position < total {
            let most = space.len().min(usize::try_from(total - self.position).unwrap_or(usize::MAX));
            let count = wire.read_some(&mut space[..most]);
            assert!(count > 0, "the stream ended after {} of {total} bytes", self.position);
            self.take(&space[..count]);
        }
    }
}

/// A thread that sends bytes as fast as they are taken, and says when nothing is taken any more.
pub(crate) struct Flood {
    sent: Arc<AtomicU64>,
    stalled: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
    thread: JoinHandle<Wire>,
}

impl Flood {
    /// Sends `total` bytes of the pattern.
    pub(crate) fn pattern(wire: Wire, total: u64) -> Self {
        Self::chunks(wire, move |position| {
            let part = pattern_at(position);
            let left = usize::try_from(total - position).unwrap_or(usize::MAX);
            part[..part.len().min(left)].to_vec()
        })
    }

    /// Sends what `next` returns for each stream position, until that is empty.
    pub(crate) fn chunks(wire: Wire, mut next: impl FnMut(u64) -> Vec<u8> + Send + 'static) -> Self {
        let (sent, stalled) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::new(AtomicBool::new(false));
        let cut = Arc::new(AtomicBool::new(false));
        let push =
            Push { sent: sent.clone(), stalled: stalled.clone(), stopped: stopped.clone(), cut: cut.clone() };
        let thread = std::thread::spawn(move || {
            wire.0.set_write_timeout(Some(STALL)).expect("write timeout");
            loop {
                let chunk = next(push.sent.load(Ordering::Relaxed));
                if chunk.is_empty() || push.stopped.load(Ordering::Relaxed) {
                    wire.0.set_write_timeout(Some(DEADLINE)).expect("write timeout");
                    return wire;
                }
                push.all(&wire, &chunk);
            }
        });
        Self { sent, stalled, stopped, cut, thread }
    }

    /// How many bytes the socket has taken.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until the socket has taken nothing for a while: backpressure has reached this end.
    pub(crate) fn wait_for_stall(&self) {
        eventually("the sender to be stalled by backpressure", || self.stalled.load(Ordering::Relaxed));
    }

    /// Gives up in the middle, wherever that is.
    pub(crate) fn stop(self) -> Wire {
        self.stopped.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Gives up in the middle, and closes the connection, which may have ended from the other side.
    pub(crate) fn abandon(self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }

    /// Waits until all is sent, and gives the socket back.
    pub(crate) fn join(self) -> Wire {
        let wire = self.thread.join().expect("the sender failed");
        assert!(!self.cut.load(Ordering::Relaxed), "the sender's connection was cut");
        wire
    }
}

/// How long a socket that takes nothing is called stalled.
const STALL: Duration = Duration::from_millis(400);

/// The sending thread's side of a [`Flood`].
struct Push {
    sent: Arc<AtomicU64>,
    stalled: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
}

impl Push {
    /// Writes all of `bytes`, unless it is stopped.
    fn all(&self, wire: &Wire, mut bytes: &[u8]) {
        let mut last_progress = Instant::now();
        while !bytes.is_empty() && !self.stopped.load(Ordering::Relaxed) {
            match (&wire.0).write(bytes) {
                Ok(count) => {
                    self.stalled.store(false, Ordering::Relaxed);
                    self.sent.fetch_add(count as u64, Ordering::Relaxed);
                    bytes = &bytes[count..];
                    last_progress = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stalled.store(true, Ordering::Relaxed);
                    let waited = last_progress.elapsed();
                    assert!(waited < 3 * DEADLINE, "a stalled sender was never let go on");
                }
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    self.stopped.store(true, Ordering::Relaxed);
                    self.cut.store(true, Ordering::Relaxed);
                }
                Err(error) => panic!("sending: {error}"),
            }
        }
    }
}
