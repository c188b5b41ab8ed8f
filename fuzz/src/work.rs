//! How much work an input may cause: a limit for each byte of it, in units that do not depend on the machine.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use websockify::http::request::Request;

/// Does `act` and returns what it finds, within limits for `len` bytes that a peer has sent: a number of
/// allocations, which is exact, and a multiple of the processor's time that an ordinary request of as many bytes
/// takes with the same build. What exceeds the time is done again, since anything can come in between once.
///
/// # Panics
/// It takes more.
pub(super) fn bounded<T>(what: &str, len: usize, act: impl Fn() -> T) -> T {
    let mut result = None;
    let mut times = Vec::new();
    let allocations = allocation_counter::measure(|| {
        let start = processor_time();
        result = Some(act());
        times.push(processor_time().saturating_sub(start));
    });
    let most = ALLOCATIONS_MIN + len as u64 / BYTES_FOR_AN_ALLOCATION;
    let count = allocations.count_total;
    assert!(count <= most, "{what}: {count} allocations for {len} bytes");
    let most = TIME_MIN + ordinary_byte() * TIMES_MAX * u32::try_from(len).unwrap_or(u32::MAX) / ORDINARY;
    while times.iter().all(|time| *time > most) {
        assert!(
            times.len() < TRIES_MAX,
            "{what}: {len} bytes take {:?}, and may take {most:?}",
            times.iter().min()
        );
        let start = processor_time();
        black_box(act());
        times.push(processor_time().saturating_sub(start));
    }
    result.expect("it was done")
}

/// What [`ORDINARY`] bytes of ordinary requests take.
fn ordinary_byte() -> Duration {
    static TIME: OnceLock<Duration> = OnceLock::new();
    *TIME.get_or_init(|| {
        let head = b"GET /websockify?token=abc HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n\
            User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\r\n";
        let time = || {
            let start = processor_time();
            for _ in 0..ORDINARY as usize / head.len() {
                assert!(Request::parse(black_box(head)).is_ok());
            }
            processor_time().saturating_sub(start)
        };
        // The first ones warm up.
        (0..8).map(|_| time()).max().expect("some")
    })
}

/// Processor time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Bytes by which the time of one is known.
const ORDINARY: u32 = 1 << 20;

/// A byte may take this many times as long as one of an ordinary request.
const TIMES_MAX: u32 = 40;

/// What anything may take: some answers have their own cost, as has a signature.
const TIME_MIN: Duration = Duration::from_millis(20);

/// How often it is tried to be fast enough.
const TRIES_MAX: usize = 7;

/// Allocations that anything may make, and bytes for each further one.
const ALLOCATIONS_MIN: u64 = 96;
const BYTES_FOR_AN_ALLOCATION: u64 = 4;
