//! Memory: many sessions whose both ends have stopped reading, each at a bounded cost, beside sessions that
//! go on; and what happens when all that may be held is held.
//!
//! Unix sockets at both ends, because the system's own buffers for them are small: a thousand stalled TCP
//! sessions would fill gigabytes of the system's memory before they filled ours.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::common::client::Client;
use crate::common::flow::{Check, pattern_at};
use crate::common::frame::Frame;
use crate::common::pieces::{Piece, Pieces};
use crate::common::process::{may_open, size};
use crate::common::server::Server;
use crate::common::target::{Target, echo};
use crate::common::wire::Wire;
use crate::common::{Scratch, eventually};

/// Sessions that stall at once; `WEBSOCKIFY_STALLED=1000` is the large form.
fn stalled_sessions() -> usize {
    size("WEBSOCKIFY_STALLED", 100)
}

/// What one stalled session may cost.
const SESSION_KIB: u64 = 256;

/// What the process may cost beyond its sessions: free rings, the allocator's own.
const SPARE_KIB: u64 = 512;

#[test]
fn stalled_sessions_cost_a_bounded_amount_each_and_others_stay_fast() {
    let count = stalled_sessions();
    if !may_open(2 * count as u64 + 100) {
        return;
    }
    let place = Place::new(&[]);
    let mut sessions: Vec<Session> = (0..count).map(|_| place.session()).collect();
    let before = place.server.memory_kib();
    let start = Instant::now();
    stall(&mut sessions, true);
    let grown = place.server.memory_kib().saturating_sub(before);
    let (held, took) = (grown / count as u64, start.elapsed());
    println!("{count} sessions stalled in both directions after {took:?}: {held} KiB each");
    assert!(grown <= SESSION_KIB * count as u64 + SPARE_KIB, "{grown} KiB for {count} stalled sessions");

    let longest = echo_rounds(&place, 300);
    println!("the longest of 300 echoes beside them took {longest:?}");
    assert!(longest < Duration::from_secs(2), "an echo took {longest:?}");

    for session in &mut sessions {
        session.take_all();
    }
    let left = || place.server.memory_kib().saturating_sub(before);
    eventually("the memory to be given back", || left() <= SPARE_KIB + count as u64 / 2);
    println!("{} KiB are left when all was taken", left());
}

#[test]
fn beyond_the_memory_limit_those_end_who_hold_much_and_not_who_stalled_first() {
    for workers in ["1", "2"] {
        the_crowd_pays(workers);
    }
}

fn the_crowd_pays(workers: &str) {
    let mut place = Place::new(&["--memory-limit", "1", "-v", "--workers", workers]);
    let mut bystander = place.session();
    let before = place.server.memory_kib();
    let mut first = vec![place.session()];
    stall(&mut first, false);
    let mut crowd: Vec<Session> = (0..200).map(|_| place.session()).collect();
    stall(&mut crowd, false);
    let grown = place.server.memory_kib().saturating_sub(before);
    println!("201 sessions stalled under a limit of 1 MiB: {grown} KiB");
    assert!(grown <= 1024 + 4 * SPARE_KIB, "{grown} KiB under a limit of 1 MiB");

    bystander.client.send_binary(b"still here");
    assert_eq!(bystander.target.read_exactly(10), b"still here");
    first[0].take_all();
    drop((first, crowd, bystander));
    place.server.log.wait_for("Ended: --memory-limit reached by data that peers do not read");
    place.server.signal("TERM");
    assert_eq!(place.server.wait().code(), Some(0));
    let ended = place.server.ended_as("overcommitted");
    println!("{ended} sessions ended for it");
    assert!((1..=200).contains(&ended), "{ended} sessions ended for it");
}

/// A gateway between two Unix sockets.
struct Place {
    server: Server,
    target: Target,
    scratch: Scratch,
}

impl Place {
    fn new(options: &[&str]) -> Place {
        let scratch = Scratch::new();
        let target = Target::unix(&scratch.path("target"));
        let ends = ["--unix-listen", &scratch.arg("ws"), "--unix-target", &target.address];
        let server = Server::start(&[options, &ends].concat());
        Place { server, target, scratch }
    }

    fn session(&self) -> Session {
        let client = Client::connect_unix(&self.scratch.path("ws")).upgrade();
        Session { client, target: self.target.accept(), up: Sent::default(), down: Sent::default() }
    }
}

/// One session, of which the test has both ends.
struct Session {
    client: Client,
    target: Wire,
    up: Sent,
    down: Sent,
}

/// What has been sent in one direction.
#[derive(Default)]
struct Sent {
    /// Payload bytes, those in `pending` included.
    total: u64,
    /// Bytes that the socket has not taken yet.
    pending: Vec<u8>,
}

impl Sent {
    /// Sends more until the socket takes none; true when it took some.
    fn push(&mut self, wire: &Wire, frames: bool) -> bool {
        let mut progress = false;
        loop {
            if self.pending.is_empty() {
                let part = &pattern_at(self.total)[..16 * 1024];
                self.total += part.len() as u64;
                self.pending = if frames { Frame::binary(part).bytes() } else { part.to_vec() };
            }
            match (&wire.0).write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                // A session that has been ended takes no more, either.
                Err(_) => return progress,
            }
            progress = true;
        }
    }

    /// Sends the rest, as far as it goes now.
    fn finish(&mut self, wire: &Wire) {
        if let Ok(count) = (&wire.0).write(&self.pending) {
            self.pending.drain(..count);
        }
    }
}

impl Session {
    /// Takes everything that was sent at either end, and checks it.
    fn take_all(&mut self) {
        let (mut up, mut down, mut pieces) = (Check::default(), Check::default(), Pieces::default());
        let mut space = vec![0; 64 * 1024];
        eventually("all bytes of a stalled session", || {
            self.up.finish(&self.client.wire);
            self.down.finish(&self.target);
            while let Some(count) = read_now(&self.target, &mut space) {
                up.take(&space[..count]);
            }
            while let Some(count) = read_now(&self.client.wire, &mut space) {
                pieces.take(&space[..count], &mut |piece| match piece {
                    Piece::Data(data) => down.take(data),
                    Piece::Control(opcode, _) => panic!("a control frame, {opcode}"),
                });
            }
            up.position == self.up.total && down.position == self.down.total
        });
    }
}

/// Sends on all sessions until nothing is taken any more for a while; `both` says whether also upwards.
fn stall(sessions: &mut [Session], both: bool) {
    for session in sessions.iter() {
        session.client.wire.0.set_nonblocking(true).expect("non-blocking mode");
        session.target.0.set_nonblocking(true).expect("non-blocking mode");
    }
    let mut last_progress = Instant::now();
    while last_progress.elapsed() < STALL {
        for session in sessions.iter_mut() {
            let down = session.down.push(&session.target, false);
            if (both && session.up.push(&session.client.wire, true)) || down {
                last_progress = Instant::now();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long sockets that take nothing are called stalled.
const STALL: Duration = Duration::from_millis(400);

/// What can be read now; `None` when nothing can.
fn read_now(wire: &Wire, space: &mut [u8]) -> Option<usize> {
    match (&wire.0).read(space) {
        Ok(0) => panic!("the session ended"),
        Ok(count) => Some(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("reading: {error}"),
    }
}

/// The longest of this many echoes on a fresh session.
fn echo_rounds(place: &Place, rounds: usize) -> Duration {
    let Session { mut client, target, .. } = place.session();
    let echoing = std::thread::spawn(move || echo(target));
    let times = (0..rounds).map(|round| {
        let start = Instant::now();
        client.echo(&pattern_at(0)[..1 + round * 100]);
        start.elapsed()
    });
    let longest = times.max().unwrap_or_default();
    client.close();
    echoing.join().expect("the echo failed");
    longest
}
