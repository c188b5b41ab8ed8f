//! One connection between scripted streams: states, endings, stalls and deadlines.
//!
//! A [`Session`] plays a scenario at a [`Pace`]: how many bytes a read brings, how much room the writes get at
//! a time, and in which order readiness comes. What must come out does not depend on it.

mod bulk;
mod deadlines;
mod dial;
mod endings;
mod events;
mod far;
mod handshake;
mod lookup;
mod proxy;
mod secrets;
mod serve;
mod stalls;
mod tape;
mod tcp;
mod tls;
mod traffic;

use std::io::Write;
use std::time::Duration;

use super::rig::wire::{self, Received};
use super::rig::{Rig, Setup};
use crate::id::Side;
use crate::net::scripted::Step;

/// How the world treats a connection.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Bytes that one read brings at most.
    read: usize,
    /// Bytes that the client takes between two events.
    client_room: usize,
    /// Bytes that the target takes between two events.
    target_room: usize,
    order: Order,
}

/// In which order events come.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// All at once, before one drive.
    Together,
    ClientFirst,
    TargetFirst,
    /// Each readiness alone, those for writing first.
    OneByOne,
}

/// Everything at once.
const SMOOTH: Pace = Pace { read: ALL, client_room: ALL, target_room: ALL, order: Order::Together };

const ALL: usize = 1 << 30;

impl Pace {
    fn all() -> impl Iterator<Item = Pace> {
        const SIZES: [usize; 3] = [1, 7, ALL];
        const ORDERS: [Order; 4] = [Order::Together, Order::ClientFirst, Order::TargetFirst, Order::OneByOne];
        let sizes = |of: usize| [SIZES[of % 3], SIZES[of / 3 % 3], SIZES[of / 9]];
        (0..27).map(sizes).flat_map(|[read, client_room, target_room]| {
            ORDERS.map(|order| Pace { read, client_room, target_room, order })
        })
    }
}

/// A connection with two peers that behave.
struct Session {
    rig: Rig,
    pace: Pace,
    /// What the client sends when it is asked to go.
    farewell: Option<Vec<u8>>,
    /// Whether the client ends its side when the gateway has ended its own.
    client_leaves: bool,
    /// Whether the target ends its side when the gateway has ended its own.
    target_leaves: bool,
}

impl Session {
    /// A connection that has just been accepted.
    fn accepted(pace: Pace, setup: &Setup) -> Session {
        let farewell = Some(wire::close(1000, ""));
        Session { rig: Rig::new(setup), pace, farewell, client_leaves: true, target_leaves: true }
    }

    /// A session whose client has got its 101 and whose target is connected.
    fn open(pace: Pace, setup: &Setup) -> Session {
        let room = |room| if room == 0 { ALL } else { room };
        let opening =
            Pace { client_room: room(pace.client_room), target_room: room(pace.target_room), ..pace };
        let mut session = Session::accepted(opening, setup);
        session.client_sends(wire::REQUEST);
        session.run();
        assert_eq!((session.received().status, session.rig.state()), (Some(101), "connect"));
        assert!(session.rig.dial());
        session.run();
        assert_eq!(session.rig.state(), "relay");
        session.rig.client.block_writes();
        session.rig.target.block_writes();
        session.pace = pace;
        session
    }

    fn client_sends(&mut self, bytes: &[u8]) {
        if let Some(tls) = &mut self.rig.tls {
            tls.writer().write_all(bytes).expect("its buffer has no limit");
            return self.pass_records();
        }
        for piece in bytes.chunks(self.pace.read) {
            self.rig.client.read_step(Step::Bytes(piece.to_vec()));
        }
    }

    /// Passes on what the client's TLS wants to write.
    fn pass_records(&mut self) {
        let Some(tls) = &mut self.rig.tls else { return };
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records).expect("memory takes everything");
        }
        for piece in records.chunks(self.pace.read) {
            self.rig.client.read_step(Step::Bytes(piece.to_vec()));
        }
    }

    fn target_sends(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.pace.read) {
            self.rig.target.read_step(Step::Bytes(piece.to_vec()));
        }
    }

    /// The client's last words, which begin the closing handshake.
    fn client_closes(&mut self, code: u16, reason: &str) {
        self.farewell = None;
        self.client_sends(&wire::close(code, reason));
    }

    /// Lets room and readiness come until nothing moves any more.
    fn run(&mut self) {
        let mut still = 0;
        let mut before = self.progress();
        while still < 2 {
            self.react();
            self.events();
            let now = self.progress();
            still = if now == before { still + 1 } else { 0 };
            before = now;
        }
    }

    /// Runs, then lets time pass until the connection is gone.
    fn run_to_the_end(&mut self) {
        self.run();
        self.rig.advance(HOUR);
        assert!(!self.rig.is_alive(), "still there in state {}", self.rig.state());
    }

    fn received(&self) -> Received {
        Received::read(&self.rig.to_client)
    }

    /// What a peer does that behaves.
    fn react(&mut self) {
        self.pass_records();
        if self.farewell.is_some() && self.received().close.is_some() {
            let farewell = self.farewell.take().unwrap_or_default();
            self.client_sends(&farewell);
        }
        if self.rig.client.is_write_ended() && std::mem::take(&mut self.client_leaves) {
            if let Some(tls) = &mut self.rig.tls {
                tls.send_close_notify();
                self.pass_records();
            }
            self.rig.client.read_step(Step::Eof);
        }
        let rig = &self.rig;
        if rig.target.is_write_ended() && std::mem::take(&mut self.target_leaves) {
            rig.target.read_step(Step::Eof);
        }
        if rig.client.is_refusing() && self.pace.client_room > 0 {
            rig.client.write_step(Step::Room(self.pace.client_room));
        }
        if rig.target.is_refusing() && self.pace.target_room > 0 {
            rig.target.write_step(Step::Room(self.pace.target_room));
        }
    }

    fn events(&mut self) {
        use Side::{Client, Target};
        let events: &[(Side, bool, bool)] = match self.pace.order {
            Order::Together => return self.rig.wake(),
            Order::ClientFirst => &[(Client, true, true), (Target, true, true)],
            Order::TargetFirst => &[(Target, true, true), (Client, true, true)],
            Order::OneByOne => {
                &[(Client, false, true), (Target, false, true), (Target, true, false), (Client, true, false)]
            }
        };
        for &(side, readable, writable) in events {
            self.rig.note(side, readable, writable, false);
            self.rig.settle();
        }
    }

    fn progress(&self) -> impl PartialEq + use<> {
        let rig = &self.rig;
        let peers = [&rig.client, &rig.target].map(|peer| (peer.reads_left(), peer.is_refusing()));
        (rig.client_took, rig.to_target.len(), peers, rig.state(), self.farewell.is_some())
    }
}

const HOUR: Duration = Duration::from_secs(3600);
