//! A crowd for which neither places nor memory suffice, at random, at one reactor: whoever is ended is ended for that
//! reason and counted once, whoever is not gets every byte, and at the end all is as it was.
//!
//! `WEBSOCKIFY_CROWD_SECONDS` says how long it comes, `WEBSOCKIFY_CROWD_SEED` repeats the choices of a run.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Server;
use crate::common::client::{Client, UPGRADE};
use crate::common::eventually;
use crate::common::flow::{Check, pattern_at};
use crate::common::frame::{CLOSE, Frame};
use crate::common::log::Log;
use crate::common::pieces::{Piece, Pieces};
use crate::common::process::{may_open, size};
use crate::common::random::Random;
use crate::common::server::command;
use crate::common::target::Target;
use crate::common::wire::Wire;

/// What a session is to do: its target waits, reads so much, sends so much; its client waits before it reads.
struct Plan {
    up: u64,
    down: u64,
    target_waits_ms: u64,
    client_waits_ms: u64,
}

impl Plan {
    fn draw(random: &mut Random) -> Plan {
        let (few, many) = (random.below(5000) as u64, ((1 << 20) + random.below(3 << 20)) as u64);
        let wait_ms = 500 + random.below(1000) as u64;
        match random.below(5) {
            0 => Plan { up: few, down: few, target_waits_ms: 0, client_waits_ms: 0 },
            1 | 2 => Plan { up: few, down: many, target_waits_ms: 0, client_waits_ms: wait_ms },
            _ => Plan { up: many, down: few, target_waits_ms: wait_ms, client_waits_ms: 0 },
        }
    }

    /// What the target is told first.
    fn greeting(&self) -> Vec<u8> {
        [self.up, self.down, self.target_waits_ms].map(u64::to_be_bytes).concat()
    }

    /// The target's part. The client knows by what comes that all it sent has arrived.
    fn serve(mut wire: Wire) {
        let mut greeting = [[0; 8]; 3];
        if (&wire.0).read_exact(greeting.as_flattened_mut()).is_err() {
            return;
        }
        let [up, down, wait_ms] = greeting.map(u64::from_be_bytes);
        std::thread::sleep(Duration::from_millis(wait_ms));
        wire.widen();
        let mut space = vec![0; 64 * 1024];
        let mut check = Check::default();
        while check.position < up {
            let most = space.len().min((up - check.position) as usize);
            match (&wire.0).read(&mut space[..most]) {
                Ok(count @ 1..) => check.take(&space[..count]),
                Ok(0) | Err(_) => return,
            }
        }
        let mut sent = 0;
        while sent < down {
            let part = pattern_at(sent);
            match (&wire.0).write(&part[..part.len().min((down - sent) as usize)]) {
                Ok(count) => sent += count as u64,
                Err(_) => return,
            }
        }
        wire.wait_until_gone();
    }
}

/// What has become of the connections.
#[derive(Debug, Default)]
struct Became {
    /// Every byte came, and the answer to the client's Close.
    whole: AtomicU64,
    /// The session was cut.
    cut: AtomicU64,
    /// There was no session, or never to be one.
    none: AtomicU64,
}

#[test]
fn in_a_crowd_everybody_is_whole_or_ended_for_want_of_room_and_counted_once() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970");
    let seed = size("WEBSOCKIFY_CROWD_SEED", (since.as_millis() % 1_000_000) as usize) as u64;
    let time = Duration::from_secs(size("WEBSOCKIFY_CROWD_SECONDS", 4) as u64);
    println!("for {} s; WEBSOCKIFY_CROWD_SEED={seed} repeats it", time.as_secs());
    if !may_open(4 * CLIENTS as u64 + 100) {
        return;
    }
    let broken = Arc::new(AtomicU64::new(0));
    let target = {
        let broken = Arc::clone(&broken);
        Target::tcp_narrow().serve(move |wire| {
            let serve = std::panic::AssertUnwindSafe(|| Plan::serve(wire));
            if std::panic::catch_unwind(serve).is_err() {
                broken.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let mut server = gateway(&target.address);
    let became = Became::default();
    come(&server, seed, time / 4, &became);
    eventually("the first to be gone", || server.connections() == 0);
    let (descriptors, memory) = (server.free_descriptors(4096), server.memory_kib());

    come(&server, seed + 1, time, &became);
    eventually("all to be gone", || server.connections() == 0);
    // Pipes that were opened for bulk stay open.
    eventually("descriptors to be back", || server.free_descriptors(4096) + 2 * PLACES >= descriptors);
    let grown = || server.memory_kib().saturating_sub(memory);
    eventually("memory to be back", || grown() <= MEMORY_KIB);
    println!("{became:?}; {} KiB more than after the first quarter", grown());
    // Whoever comes now is served as if nothing had been.
    let whole = became.whole.load(Ordering::Relaxed);
    session(&server, &Plan { up: 100_000, down: 100_000, target_waits_ms: 0, client_waits_ms: 0 }, &became);
    assert_eq!(became.whole.load(Ordering::Relaxed), whole + 1);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(broken.load(Ordering::Relaxed), 0, "a target got what was not sent");
    compare(&became, &server.endings());
}

/// One reactor with few places and little memory, which logs everything; only lines about no client are kept.
fn gateway(target: &str) -> Server {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let places = PLACES.to_string();
    let options = ["-v", "--max-connections", &places, "--memory-limit", "1", "127.0.0.1:0", target];
    let options = Server::arguments(&options);
    let mut command = command(&options.iter().map(String::as_str).collect::<Vec<_>>());
    command.stderr(writer);
    let mut server = Server::spawn(&mut command);
    drop(command);
    server.log = Log::collect_if(reader, |line| !line.starts_with("127.0.0.1"));
    server.wait_until_it_listens();
    server
}

/// Has clients come, each one after the other, until the time is over.
fn come(server: &Server, seed: u64, time: Duration, became: &Became) {
    let (until, failed) = (Instant::now() + time, AtomicBool::new(false));
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let failed = &failed;
            scope.spawn(move || {
                let mut random = Random::new(seed * 1_000_003 + number as u64);
                while Instant::now() < until && !failed.load(Ordering::Relaxed) {
                    let _guard = Guard(failed);
                    if random.once_in(4) {
                        half_a_request(server, &mut random);
                        became.none.fetch_add(1, Ordering::Relaxed);
                    } else {
                        session(server, &Plan::draw(&mut random), became);
                    }
                }
            });
        }
    });
}

/// Tells the others when one panics.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A client that leaves in the middle of its request, unless it has lost its place before.
fn half_a_request(server: &Server, random: &mut Random) {
    let mut client = Client::connect(server);
    client.wire.send_what_goes(&UPGRADE.as_bytes()[..1 + random.below(UPGRADE.len() - 1)]);
    std::thread::sleep(Duration::from_millis(random.below(300) as u64));
}

/// One session, or an attempt at one.
fn session(server: &Server, plan: &Plan, became: &Became) {
    let mut client = Client::connect_narrow(server);
    let greeting = Frame::binary(&plan.greeting()).bytes();
    client.wire.send_what_goes(&[UPGRADE.as_bytes(), &greeting].concat());
    let count = match granted(&mut client) {
        false => &became.none,
        true if is_whole(&client, plan) => &became.whole,
        true => &became.cut,
    };
    count.fetch_add(1, Ordering::Relaxed);
}

/// Whether the answer is a 101. Without a place it is a 503, or an end.
fn granted(client: &mut Client) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!((&client.wire.0).read(&mut byte), Ok(1)) {
            return false;
        }
        head.push(byte[0]);
    }
    let granted = head.starts_with(b"HTTP/1.1 101 ");
    assert!(granted || head.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&head));
    granted
}

/// Whether every byte came, both ways, and the answer to the Close. A session that is cut has got nothing wrong.
fn is_whole(client: &Client, plan: &Plan) -> bool {
    let mut sent = 0;
    while sent < plan.up {
        let part = pattern_at(sent);
        let part = &part[..part.len().min((plan.up - sent) as usize)];
        if (&client.wire.0).write_all(&Frame::binary(part).bytes()).is_err() {
            return false;
        }
        sent += part.len() as u64;
    }
    std::thread::sleep(Duration::from_millis(plan.client_waits_ms));
    client.wire.widen();
    let (mut pieces, mut check, mut answered, mut closing) =
        (Pieces::default(), Check::default(), false, false);
    let mut space = vec![0; 64 * 1024];
    loop {
        if check.position == plan.down && !std::mem::replace(&mut closing, true) {
            client.wire.twin().send_what_goes(&Frame::close(1000, "").bytes());
        }
        match (&client.wire.0).read(&mut space) {
            Ok(0) => break,
            Ok(count) => pieces.take(&space[..count], &mut |piece| match piece {
                Piece::Data(data) => check.take(data),
                Piece::Control(opcode, _) => answered |= opcode == CLOSE,
            }),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "neither more comes nor an end");
                break;
            }
        }
    }
    assert!(check.position <= plan.down);
    assert!(
        !answered || (check.position == plan.down && pieces.is_between_frames()),
        "a Close before the end"
    );
    answered
}

/// Holds the gateway's endings against what became of the connections.
fn compare(became: &Became, endings: &[(String, u64)]) {
    println!("ended: {endings:?}");
    let ended = |kind: &str| endings.iter().find(|(name, _)| name == kind).map_or(0, |(_, count)| *count);
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (want_memory, want_places) = (ended("overcommitted"), ended("full") + ended("displaced"));
    assert_eq!(ended("client-closed"), of(&became.whole), "whole sessions");
    assert!(want_memory >= of(&became.cut), "a session was cut for another reason: {became:?}, {endings:?}");
    let others: u64 = endings.iter().map(|(_, count)| count).sum::<u64>() - ended("client-closed");
    assert_eq!(others, of(&became.cut) + of(&became.none), "each connection ends once");
    let known = ["overcommitted", "full", "displaced", "client-closed", "half-request", "probe", "half-tls"];
    assert!(endings.iter().all(|(name, _)| known.contains(&&name[..])), "{endings:?}");
    // Memory suffices where the machine is too slow to fill it: those who are slow are read little at a time.
    assert!(want_places > 0, "there were places for everybody: {endings:?}");
}

/// How many connections there may be.
const PLACES: usize = 40;

/// How many clients come at a time.
const CLIENTS: usize = 80;

/// What a gateway may have in hand when all is over: free rings, the allocator's own.
const MEMORY_KIB: u64 = 4 * 1024;
