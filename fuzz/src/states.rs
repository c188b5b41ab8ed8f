//! One connection, from its first byte to its end, under whatever may happen to it: bytes of both peers, room
//! and readiness in any order, time, resets, and the end of the process.
//!
//! The first two bytes of an input say how the connection begins and how it ends; each further one is an
//! action, followed by its arguments. What must hold after each drive is checked by the rig; here is what
//! needs to know what the peers have sent.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use websockify::conn::rig::wire::{self, Received};
use websockify::conn::rig::{Rig, Setup};
use websockify::http::request::{HeadReader, Request};
use websockify::id::Side;
use websockify::net::scripted::Step;
use websockify::ws::handshake::is_upgrade;

use super::{tls, twin};

/// Bytes in are bytes out, in order; the client's stream keeps the rules; there is one ending, with nothing
/// left behind.
pub fn states(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::begin(input.byte().unwrap_or(3));
    let finale = input.byte().unwrap_or(0);
    while let Some(action) = input.byte() {
        world.act(action, &mut input);
        world.check();
        if !world.rig.is_alive() {
            break;
        }
    }
    world.end(finale);
}

/// What is left of the input.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// A number that is mostly small.
    fn size(&mut self) -> usize {
        match usize::from(self.byte().unwrap_or(1)) {
            small @ 0..=239 => small,
            // Up to two rings.
            large => (large - 239) * 16_411,
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes.to_vec()
    }
}

/// A connection, and what its peers have done.
struct World {
    rig: Rig,
    /// What the client wants to send.
    unsent: Vec<u8>,
    /// What the client has sent.
    from_client: Vec<u8>,
    from_target: Vec<u8>,
    /// What all that the client has sent means, and how long that was.
    sent: (usize, twin::Yield),
    client_over: bool,
    target_over: bool,
    client_broken: bool,
    target_broken: bool,
    /// Something has ended the connection, or may have, that does not wait for what is owed.
    hasty: bool,
    /// Plain requests come before the upgrade, which has not been sent.
    plain: bool,
}

impl World {
    fn begin(how: u8) -> World {
        let (web, tls) = (matches!(how >> 4, 4 | 6), matches!(how >> 4, 5 | 6));
        let setup = Setup {
            web: web.then(|| root().clone()),
            tls: tls.then(|| tls::configs(how & 8 != 0)),
            heartbeat: (how & 4 != 0).then_some(Duration::from_secs(5)),
            traffic: how & 8 != 0,
            once: (how & 0xf0 == 0x10).then_some(true),
            admitted: how & 0xf0 != 0x20,
            held_bytes_max: if how & 0xf0 == 0x30 { 20_000 } else { 1 << 29 },
            ..Setup::default()
        };
        let mut world = World {
            rig: Rig::new(&setup),
            unsent: Vec::new(),
            from_client: Vec::new(),
            from_target: Vec::new(),
            sent: (0, twin::Yield::default()),
            client_over: false,
            target_over: false,
            client_broken: false,
            target_broken: false,
            hasty: false,
            plain: web,
        };
        if how & 3 > 0 {
            world.ask(0);
            if how & 3 > 1 || !web {
                world.upgrade();
            }
        }
        if how & 3 > 1 {
            world.deliver(usize::MAX);
            world.open(if web || tls { ROUNDS_MORE } else { 0 });
        }
        if how & 3 > 2 {
            match how >> 4 {
                7 => world.resolve(3),
                _ => drop(world.rig.dial()),
            }
            world.rig.wake();
        }
        world
    }

    /// Lets the answer to the upgrade through, and nothing more; with what comes before it, in this many rounds.
    fn open(&mut self, rounds: usize) {
        if rounds == 0 {
            self.rig.client.write_step(Step::Room(129));
            self.rig.wake();
        }
        for _ in 0..rounds {
            self.rig.client.write_step(Step::Room(1 << 20));
            self.pass_records();
            self.rig.wake();
            self.hear_helpers();
        }
        self.rig.client.block_writes();
    }

    /// The target's name is found to have addresses, of which the last one is the target's.
    fn resolve(&mut self, refused: u8) {
        if self.rig.answer_addresses(refused) {
            let is_there = ["connect", "relay"].contains(&self.rig.state());
            assert!(!is_there || !self.rig.target.is_dropped(), "the last address was not tried");
        }
    }

    /// Queues a plain request, where one may come.
    fn ask(&mut self, which: u8) {
        if self.plain {
            let path = ["/small", "/large", "/gone", "/"][usize::from(which & 3)];
            self.unsent.extend(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes());
        }
    }

    fn upgrade(&mut self) {
        self.plain = false;
        self.unsent.extend_from_slice(wire::REQUEST);
    }

    /// Tells the connection what helpers were asked.
    fn hear_helpers(&mut self) {
        while self.rig.is_asking() {
            self.rig.answer_from_helper();
        }
    }

    /// Passes on what the client's TLS wants to write.
    fn pass_records(&mut self) {
        let Some(tls) = &mut self.rig.tls else { return };
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records).expect("memory takes everything");
        }
        if !records.is_empty() && !self.client_over {
            self.rig.client.read_step(Step::Bytes(records));
        }
    }

    fn act(&mut self, action: u8, input: &mut Input<'_>) {
        match action & 31 {
            0..=5 if self.plain => match input.byte().unwrap_or(0) {
                which @ 0..=191 => self.ask(which),
                _ => self.upgrade(),
            },
            0 | 1 => {
                let payload = self.pattern(input.size());
                self.unsent.extend(wire::frame(wire::BINARY, &payload));
            }
            2 => {
                let payload = self.pattern(input.size());
                self.unsent.extend(wire::frame([0x02, 0x00, 0x80, 0x01][usize::from(action >> 6)], &payload));
            }
            3 => {
                let len = input.size().min(125);
                let payload = self.pattern(len);
                self.unsent.extend(wire::frame(wire::PING, &payload));
            }
            4 => self.unsent.extend(wire::frame(wire::PONG, b"")),
            5 => self.unsent.extend(wire::close(1000 + u16::from(action >> 5), "over")),
            6 => {
                let len = input.size();
                self.unsent.extend(input.bytes(len));
            }
            7..=9 => {
                let len = input.size();
                self.deliver(if len == 0 { usize::MAX } else { len });
            }
            10 => self.rig.client.read_step(Step::Block),
            11 | 12 => {
                // No bytes would be an end.
                let bytes = self.pattern(input.size().max(1));
                if !self.target_over && self.from_target.len() < BYTES_MAX {
                    self.from_target.extend_from_slice(&bytes);
                    self.rig.target.read_step(Step::Bytes(bytes));
                }
            }
            13 => self.rig.target.read_step(Step::Block),
            14 => self.end_client(action),
            15 => self.end_target(action),
            16 | 17 => self.rig.client.write_step(Step::Room(input.size().max(1))),
            18 | 19 => self.rig.target.write_step(Step::Room(input.size().max(1))),
            20..=23 => {
                let side = if action & 32 == 0 { Side::Client } else { Side::Target };
                let broken = if action & 32 == 0 { self.client_broken } else { self.target_broken };
                self.rig.note(side, action & 1 != 0, action & 2 != 0, broken && action & 64 != 0);
                if action & 128 == 0 {
                    self.rig.settle();
                }
            }
            24 => self.rig.drive(),
            25 => self.pass(PASSES[usize::from(action >> 5)]),
            26 if action & 32 != 0 => self.resolve(action >> 6),
            26 => drop(self.rig.dial()),
            27 if action >> 5 == 7 => self.rig.answer_unknown(),
            28 if action >> 5 == 7 => {
                self.hasty = true;
                self.rig.drain(Duration::from_secs(3));
            }
            29 if self.rig.is_asking() => self.rig.answer_from_helper(),
            29 => self.rig.trim(),
            30 => self.rig.client.set_unacknowledged(input.size()),
            31 => self.rig.target.set_unacknowledged(input.size()),
            _ => self.rig.wake(),
        }
        self.pass_records();
        if self.rig.is_overcommitted() {
            self.hasty = true;
            assert!(self.rig.end_overcommitted(), "what holds too much can be ended");
        }
    }

    fn deliver(&mut self, len: usize) {
        let rest = self.unsent.split_off(len.min(self.unsent.len()));
        let bytes = std::mem::replace(&mut self.unsent, rest);
        if !self.client_over && !bytes.is_empty() && self.from_client.len() < BYTES_MAX {
            self.from_client.extend_from_slice(&bytes);
            match &mut self.rig.tls {
                Some(tls) => {
                    tls.writer().write_all(&bytes).expect("its buffer has no limit");
                    self.pass_records();
                }
                None => self.rig.client.read_step(Step::Bytes(bytes)),
            }
        }
    }

    fn end_client(&mut self, how: u8) {
        if how & 32 != 0 {
            self.rig.client.reset(ErrorKind::ConnectionReset);
            (self.client_over, self.client_broken) = (true, true);
        } else if !self.client_over {
            match &mut self.rig.tls {
                // The end of the stream alone is a cut.
                Some(_) if how & 64 != 0 => self.client_broken = true,
                Some(tls) => {
                    tls.send_close_notify();
                    self.pass_records();
                }
                None => {}
            }
            self.rig.client.read_step(Step::Eof);
            self.client_over = true;
        }
    }

    fn end_target(&mut self, how: u8) {
        if how & 32 != 0 {
            self.rig.target.reset(ErrorKind::ConnectionReset);
            (self.target_over, self.target_broken) = (true, true);
        } else if !self.target_over {
            if how & 64 != 0 {
                // It takes nothing more, and what it said last is still to be read.
                self.rig.target.block_writes();
                self.rig.target.write_step(Step::Error(ErrorKind::BrokenPipe));
                self.target_broken = true;
            }
            self.rig.target.read_step(Step::Eof);
            self.target_over = true;
        }
    }

    fn pass(&mut self, time: Duration) {
        self.hasty |= self.rig.deadline().is_some_and(|deadline| deadline <= time + Duration::from_secs(1));
        self.rig.advance(time);
    }

    /// What a peer sends: every byte tells where it is.
    fn pattern(&self, len: usize) -> Vec<u8> {
        let start = self.from_client.len() + self.unsent.len() + self.from_target.len();
        (start..start + len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
    }

    /// What must hold at any moment.
    fn check(&mut self) -> Received {
        let received = Received::read(behind_pages(&self.rig.to_client));
        assert!(self.from_target.starts_with(&received.data), "the client got what the target did not send");
        if self.sent.0 != self.from_client.len()
            && let Some(head) = frames_at(&self.from_client)
        {
            self.sent = (self.from_client.len(), twin::decode(&self.from_client[head..]));
        }
        let sent = &self.sent.1;
        assert!(sent.payload.starts_with(&self.rig.to_target), "the target got what the client did not send");
        let mut pings = sent.controls.iter().filter(|control| control.0 == 9).map(|control| &control.1);
        for pong in &received.pongs {
            assert!(pings.any(|ping| ping == pong), "a pong answers no ping, or is out of order");
        }
        if self.rig.is_alive() && received.close.is_some() {
            assert!(self.rig.deadline().is_some(), "our Close is out, and nothing limits the wait");
        }
        received
    }

    /// Brings the connection to its end, with peers that behave now.
    fn end(&mut self, how: u8) {
        self.rig.client.set_unacknowledged(0);
        self.rig.target.set_unacknowledged(0);
        self.deliver(usize::MAX);
        match how & 3 {
            0 => self.end_client(how),
            1 => self.end_target(how),
            2 => {
                self.unsent.extend(wire::close(1000, ""));
                self.deliver(usize::MAX);
            }
            _ => {}
        }
        // A round for each step that is left, in case they all block, and some for what follows.
        for _ in 0..self.rig.client.reads_left() + self.rig.target.reads_left() + ROUNDS_MORE {
            self.rig.client.write_step(Step::Room(1 << 20));
            self.rig.target.write_step(Step::Room(1 << 20));
            self.pass_records();
            self.rig.wake();
            self.hear_helpers();
            if self.rig.client.is_write_ended() {
                self.end_client(0);
            }
            if self.rig.target.is_write_ended() {
                self.end_target(0);
            }
        }
        self.check();
        self.pass(Duration::from_secs(3600));
        if self.rig.is_alive() {
            assert_eq!((self.rig.state(), self.rig.held_bytes()), ("relay", 0), "only an idle session stays");
            assert!(!self.client_over && !self.target_over, "a session outlives its peers");
            self.hasty = true;
            self.rig.drain(Duration::from_secs(3));
            self.rig.advance(Duration::from_secs(4));
        }
        assert!(!self.rig.is_alive() && self.rig.endings().len() == 1);
        self.settle_accounts();
    }

    /// What must hold in the end, when nobody was in haste.
    fn settle_accounts(&mut self) {
        let received = self.check();
        let sent = &self.sent.1;
        let ending = self.rig.endings().concat();
        let code = received.close.as_ref().and_then(|close| close.0);
        if self.hasty || self.client_broken {
            return;
        }
        if !self.target_broken && ["client-closed", "client-violated", "target-closed"].contains(&&ending[..])
        {
            let over = ending != "target-closed" || self.client_over || sent.finish.is_some();
            assert!(!over || self.rig.to_target == sent.payload, "{ending}: the target is owed bytes");
            // A client that leaves during the dial and has nothing for the target takes the dial with it.
            let has_moved = !sent.payload.is_empty() || !received.data.is_empty();
            assert!(
                !over || !has_moved || self.rig.target.is_write_ended(),
                "{ending}: the target was not closed in order"
            );
        }
        match &ending[..] {
            "target-closed" => assert_eq!(code, Some(1000)),
            "target-reset" => assert_eq!(code, Some(1011)),
            _ => return,
        }
        assert!(received.data == self.from_target, "{ending}: the client is owed bytes");
    }
}

/// Where the client's frames begin, behind its upgrade and plain requests before that.
fn frames_at(stream: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = HeadReader::new().scan(&stream[at..]).ok()??;
        let upgrades = Request::parse(&stream[at..at + len]).is_ok_and(|request| is_upgrade(&request));
        at += len;
        if upgrades || at == len && stream.starts_with(wire::REQUEST) {
            return Some(at);
        }
    }
}

/// What the client got behind the answers to its plain requests, which are checked.
fn behind_pages(mut bytes: &[u8]) -> &[u8] {
    while bytes.starts_with(b"HTTP/1.1 200") || bytes.starts_with(b"HTTP/1.1 404") {
        let Some(end) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return &[] };
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.expect("a length").parse().expect("a number");
        let body = &bytes[end + 4..];
        let got = &body[..length.min(body.len())];
        let is_file = head.contains("\r\nETag: ");
        let known = [SMALL, large()].iter().any(|file| file.len() == length && file.starts_with(got));
        assert!(!is_file || known, "a file came wrong");
        if body.len() < length {
            return &[];
        }
        bytes = &body[length..];
    }
    bytes
}

/// A web root with a small and a large file. It stays for the next process.
fn root() -> &'static PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = std::env::temp_dir().join("websockify-fuzz-root");
        std::fs::create_dir_all(&root).expect("made");
        for (name, content) in [("small", SMALL), ("large", large())] {
            if std::fs::read(root.join(name)).is_ok_and(|found| found == content) {
                continue;
            }
            // Another process may read it.
            let new = root.join(format!(".{name}-{}", std::process::id()));
            std::fs::write(&new, content).expect("written");
            std::fs::rename(new, root.join(name)).expect("renamed");
        }
        root
    })
}

const SMALL: &[u8] = b"small file";

/// Larger than some chunks, and no multiple of one.
fn large() -> &'static [u8] {
    static LARGE: OnceLock<Vec<u8>> = OnceLock::new();
    LARGE.get_or_init(|| (0..200_001).map(|at| b'a' + (at % 23) as u8).collect())
}

/// How much time may pass at once: below, around and beyond every deadline.
const PASSES: [Duration; 8] = {
    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
    [ms(100), ms(1000), ms(2600), ms(5000), ms(9900), ms(21_000), ms(800_000), ms(910_000)]
};

/// Enough for each peer, so that an input stays fast.
const BYTES_MAX: usize = 1 << 20;

/// Rounds of room and readiness in which both ends come to their end.
const ROUNDS_MORE: usize = 8;
