//! Hundreds of sessions at once for some seconds, or for hours, that send, stall, split, ping, close, break
//! and vanish at random; and at the end the books: what each end saw is what the other one did, each
//! connection ended once and for the reason that it had, and nothing is left.
//!
//! The large form: `WEBSOCKIFY_SOAK_SECONDS=3600 cargo test --release --test it -- --nocapture soak`.
//! `WEBSOCKIFY_SOAK_SESSIONS` says how many at a time, `WEBSOCKIFY_SOAK_SEED` repeats the choices of a run.

mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::common::client::{Client, UPGRADE};
use crate::common::log::Log;
use crate::common::process::{may_open, size};
use crate::common::random::Random;
use crate::common::server::{Server, command};
use crate::common::{Scratch, eventually};
use session::{Ending, Exchange, Plan};

/// How often each kind of connection was made, by the name that the gateway has for its ending.
type Counts = BTreeMap<&'static str, u64>;

#[test]
fn everything_is_accounted_for() {
    let (seconds, slots) = (size("WEBSOCKIFY_SOAK_SECONDS", 8), size("WEBSOCKIFY_SOAK_SESSIONS", 200));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970");
    let seed = size("WEBSOCKIFY_SOAK_SEED", (since.as_millis() % 1_000_000) as usize) as u64;
    println!("{slots} sessions at a time for {seconds} s; WEBSOCKIFY_SOAK_SEED={seed} repeats it");
    if !may_open(4 * slots as u64 + 100) {
        return;
    }
    let (exchange, scratch) = (Exchange::open(), Scratch::new());
    let mut server = quiet_server(exchange.address(), &scratch.arg("access"));
    let mut counts = soak(&server, &exchange, seed, slots, Duration::from_millis(500));
    eventually("the warm-up to be over", || is_empty(&server));
    // Each worker opens the pipe that it splices through when it first needs it.
    let (descriptors, memory) = (server.free_descriptors(4096) - 2 * WORKERS, server.memory_kib());

    for (kind, count) in soak(&server, &exchange, seed + 1, slots, Duration::from_secs(seconds as u64)) {
        *counts.entry(kind).or_default() += count;
    }
    eventually("every connection to be gone", || is_empty(&server));
    eventually("every descriptor to be back", || server.free_descriptors(4096) >= descriptors);
    let grown = || server.memory_kib().saturating_sub(memory);
    eventually("the memory to be back", || grown() <= MEMORY_KIB);
    println!("{} KiB more than after the warm-up", grown());
    assert_eq!(server.children(), 0);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let sessions = ended_sessions(&scratch.path("access"));
    println!("the access log: {sessions:?}");
    assert_eq!(sessions.values().sum::<u64>(), upgraded(&counts), "a session has one end in the access log");
    let told = server.endings();
    for (kind, count) in &sessions {
        assert_eq!(told.iter().find(|(name, _)| name == kind).map(|(_, count)| count), Some(count), "{kind}");
    }
    compare(counts, told);
}

/// How often sessions have ended so, by the access log. Each has a name of its own.
fn ended_sessions(path: &Path) -> BTreeMap<String, u64> {
    let (mut ends, mut names) = (BTreeMap::new(), BTreeSet::new());
    for line in BufReader::new(File::open(path).expect("an access log")).lines() {
        let object: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        match text("event").as_str() {
            "session.end" => {
                assert!(names.insert(text("session.id")), "a second end: {object}");
                *ends.entry(text("end")).or_default() += 1;
            }
            event => assert_eq!(event, "http.request", "{object}"),
        }
    }
    ends
}

/// How many of the connections that were made became sessions.
fn upgraded(made: &Counts) -> u64 {
    let others = ["probe", "half-request", "refused"];
    made.iter().filter(|(kind, _)| !others.contains(kind)).map(|(_, count)| count).sum()
}

/// Workers of the gateway that is soaked.
const WORKERS: usize = 2;

/// What a gateway may have in hand when all is over: free rings of both workers, the allocator's own.
const MEMORY_KIB: u64 = 4 * 1024;

/// Only the poll's own descriptors are watched: the wakers of both reactors and the listener.
fn is_empty(server: &Server) -> bool {
    server.watched() == [2, 1]
}

/// A gateway of two workers that logs everything, of which only the lines about no client are kept.
fn quiet_server(target: &str, access: &str) -> Server {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command =
        command(&["-v", "--workers", "2", "--heartbeat", "5", "--access-log", access, "127.0.0.1:0", target]);
    command.stderr(writer);
    let mut server = Server::spawn(&mut command);
    drop(command);
    server.log = Log::collect_if(reader, |line| !line.starts_with("127.0.0.1"));
    server.wait_until_it_listens();
    server
}

/// Keeps `slots` connections going until the time is over, and finishes them.
fn soak(server: &Server, exchange: &Exchange, seed: u64, slots: usize, time: Duration) -> Counts {
    let until = Instant::now() + time;
    let (bytes, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let slot = |number: usize| {
        let mut random = Random::new(seed * 1_000_003 + number as u64);
        let mut counts = Counts::new();
        while Instant::now() < until && !failed.load(Ordering::Relaxed) {
            *counts.entry(connection(server, exchange, &mut random, &bytes)).or_default() += 1;
        }
        counts
    };
    std::thread::scope(|scope| {
        let builder = |number| {
            let (slot, failed) = (&slot, &failed);
            let run = move || {
                let _guard = Guard(failed);
                slot(number)
            };
            std::thread::Builder::new().stack_size(512 * 1024).spawn_scoped(scope, run).expect("a thread")
        };
        let threads: Vec<_> = (0..slots).map(builder).collect();
        let mut total = Counts::new();
        for thread in threads {
            for (kind, count) in thread.join().expect("a session failed") {
                *total.entry(kind).or_default() += count;
            }
        }
        let (made, mib) = (total.values().sum::<u64>(), bytes.load(Ordering::Relaxed) >> 20);
        println!("{made} connections, {mib} MiB there and back");
        total
    })
}

/// Tells the other threads when one panics, so that a failure of a run of hours is seen at once.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Makes one connection of some kind, follows it to its end, and says what the gateway should call that.
fn connection(server: &Server, exchange: &Exchange, random: &mut Random, bytes: &AtomicU64) -> &'static str {
    match random.below(12) {
        0 => {
            let mut probe = Client::connect(server);
            probe.wire.finish();
            probe.wire.wait_until_gone();
            "probe"
        }
        1 => {
            let mut half_open = Client::connect(server);
            half_open.wire.send(&UPGRADE.as_bytes()[..1 + random.below(UPGRADE.len() - 1)]);
            std::thread::sleep(Duration::from_millis(random.below(100) as u64));
            half_open.wire.finish();
            half_open.wire.wait_until_gone();
            "half-request"
        }
        2 => {
            let mut refused = Client::connect(server);
            refused.wire.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(refused.read_answer_to_end().status, 405);
            "refused"
        }
        _ => {
            let plan = Plan::draw(random);
            let moved = session::run(server, exchange, &plan, random);
            bytes.fetch_add(moved, Ordering::Relaxed);
            match plan.ending {
                Ending::ClientCloses | Ending::ClientFinishes => "client-closed",
                Ending::ClientResets => "client-reset",
                Ending::ClientViolates => "client-violated",
                Ending::TargetFinishes => "target-closed",
                Ending::TargetResets => "target-reset",
            }
        }
    }
}

/// Holds the gateway's endings against the connections that were made.
fn compare(made: Counts, endings: Vec<(String, u64)>) {
    println!("made:  {made:?}\nended: {endings:?}");
    let mut made: BTreeMap<&str, u64> = made.into_iter().collect();
    let mut ended: BTreeMap<&str, u64> =
        endings.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    // The system tells of a reset once: when a write was told, the read after it finds an end. So a reset
    // may count as an end without a Close, which is what it looks like; nothing may count as a reset.
    for counts in [&mut made, &mut ended] {
        let resets = counts.remove("client-reset").unwrap_or_default();
        *counts.entry("client-closed").or_default() += resets;
    }
    assert_eq!(ended, made, "the gateway's endings and the connections that were made");
}
