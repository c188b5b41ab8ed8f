//! One session of the soak: both of its ends, driven by one thread as they become ready, and the
//! comparison of what each saw with what the other did.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::common::DEADLINE;
use crate::common::client::{Client, UPGRADE};
use crate::common::flow::{Check, pattern_at};
use crate::common::frame::{BINARY, CLOSE, CONTINUATION, Frame, PING};
use crate::common::pieces::{Piece, Pieces};
use crate::common::random::Random;
use crate::common::server::Server;
use crate::common::target::{Service, Target};
use crate::common::wire::Wire;

/// Who ends a session, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    ClientCloses,
    ClientFinishes,
    ClientResets,
    ClientViolates,
    TargetFinishes,
    TargetResets,
}

/// What a session is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) ending: Ending,
    /// Bytes that each end sends, as long as the session lasts.
    up: u64,
    down: u64,
    /// An end that resets does so when it has seen and sent this many bytes.
    reset_after: u64,
    /// Where in the test pattern both directions begin.
    offset: u64,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Plan {
        use Ending::*;
        let endings =
            [ClientCloses, ClientFinishes, ClientResets, ClientViolates, TargetFinishes, TargetResets];
        let ending = random.one_of(&endings);
        let mut amount = || match random.below(20) {
            0 => random.below(4 << 20),
            1..6 => random.below(200 << 10),
            _ => random.below(8 << 10),
        } as u64;
        let (up, down) = (amount(), amount());
        let reset_after = random.below((up + down) as usize + 1) as u64;
        Plan { ending, up, down, reset_after, offset: random.next() >> 20 }
    }
}

/// Where targets' ends are handed to the sessions that they belong to: each client says a number first.
pub(crate) struct Exchange {
    service: Service,
    waiting: Arc<Mutex<HashMap<u64, Sender<Wire>>>>,
    next: AtomicU64,
}

impl Exchange {
    pub(crate) fn open() -> Exchange {
        let waiting: Arc<Mutex<HashMap<u64, Sender<Wire>>>> = Arc::default();
        let known = Arc::clone(&waiting);
        let service = Target::tcp().serve(move |mut wire| {
            let number = u64::from_be_bytes(wire.read_exactly(8).try_into().expect("eight bytes"));
            let sender = known.lock().expect("no session panicked here").remove(&number);
            sender.expect("a session that waits for its target").send(wire).expect("the session waits");
        });
        Exchange { service, waiting, next: AtomicU64::new(0) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.service.address
    }

    /// Opens a session: its client's end, past the 101, and its target's.
    fn session(&self, server: &Server, random: &mut Random) -> (Wire, Wire) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = channel();
        self.waiting.lock().expect("nobody panics here").insert(number, sender);
        let mut client = Client::connect(server);
        let mut hello = Frame::binary(&number.to_be_bytes()).bytes();
        // In one packet with the request, in one after it, or split.
        let early = random.below(hello.len() + 1);
        let rest = hello.split_off(early);
        client.wire.send(&[UPGRADE.as_bytes(), &hello].concat());
        assert_eq!(client.read_head().status, 101);
        client.wire.send(&rest);
        let target = receiver.recv_timeout(DEADLINE).expect("the session's target");
        (client.wire, target)
    }
}

/// Runs one session to its end and checks it; returns how many bytes were moved.
pub(crate) fn run(server: &Server, exchange: &Exchange, plan: &Plan, random: &mut Random) -> u64 {
    let (client, target) = exchange.session(server, random);
    let mut session = Session {
        plan,
        client: End::new(client, plan.offset),
        target: End::new(target, plan.offset),
        pieces: Pieces::default(),
        in_message: false,
        close: Closing::default(),
    };
    let start = Instant::now();
    while session.client.wire.is_some() || session.target.wire.is_some() {
        session.wait();
        session.drive_client(random);
        session.drive_target(random);
        session.reset_when_it_is_time();
        assert!(start.elapsed() < SESSION_MAX, "a session never ended: {session:?}");
    }
    session.check();
    session.client.received() + session.target.received()
}

#[derive(Debug)]
struct Session<'a> {
    plan: &'a Plan,
    client: End,
    target: End,
    pieces: Pieces,
    in_message: bool,
    close: Closing,
}

/// What has been said about the end.
#[derive(Debug, Default)]
struct Closing {
    /// The client has sent its last frame.
    sent: bool,
    /// The code that the client sent.
    own: Option<u16>,
    /// The code that it got.
    got: Option<u16>,
}

/// One end of a session.
#[derive(Debug)]
struct End {
    /// Gone when the connection has ended.
    wire: Option<Wire>,
    /// What has come.
    check: Check,
    /// How many bytes of the pattern have been queued.
    sent: u64,
    /// Bytes that are to be written.
    queue: Vec<u8>,
    offset: u64,
    /// Until then it neither reads nor writes.
    paused_until: Option<Instant>,
    /// It has ended its writing side.
    finished: bool,
    /// The other side ended in order.
    ended_in_order: bool,
}

impl End {
    fn new(wire: Wire, offset: u64) -> End {
        wire.0.set_nonblocking(true).expect("non-blocking mode");
        let check = Check { position: offset };
        End {
            wire: Some(wire),
            check,
            sent: 0,
            queue: Vec::new(),
            offset,
            paused_until: None,
            finished: false,
            ended_in_order: false,
        }
    }

    fn received(&self) -> u64 {
        self.check.position - self.offset
    }

    /// Now and then an end does nothing for a while.
    fn is_paused(&mut self, random: &mut Random) -> bool {
        match self.paused_until {
            Some(until) if Instant::now() < until => true,
            Some(_) => {
                self.paused_until = None;
                false
            }
            None if random.once_in(60) => {
                self.paused_until = Some(Instant::now() + Duration::from_millis(random.below(300) as u64));
                true
            }
            None => false,
        }
    }

    /// The next bytes of the pattern, at most `most` and at most up to `total`.
    fn next_part(&mut self, most: usize, total: u64) -> &'static [u8] {
        let count = most.min(usize::try_from(total - self.sent).unwrap_or(usize::MAX));
        let part = &pattern_at(self.offset + self.sent)[..count];
        self.sent += count as u64;
        part
    }

    /// Reads once; what came is at the start of `space`. An end makes the wire go.
    fn read(&mut self, space: &mut [u8]) -> usize {
        let Some(wire) = &self.wire else { return 0 };
        match (&wire.0).read(space) {
            Ok(0) => {
                self.ended_in_order = true;
                self.wire = None;
                0
            }
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.wire = None;
                0
            }
        }
    }

    /// Writes a part of the queue.
    fn write(&mut self, random: &mut Random) {
        let Some(wire) = &self.wire else { return };
        if self.queue.is_empty() {
            return;
        }
        let most = random.one_of(&[1, 10, 1000, 100_000]);
        let count = self.queue.len().min(1 + random.below(most));
        // An error says that the connection is broken: a read will tell, behind what is still there.
        if let Ok(written) = (&wire.0).write(&self.queue[..count]) {
            self.queue.drain(..written);
        }
    }

    fn finish(&mut self) {
        if let Some(wire) = &self.wire
            && !self.finished
        {
            // It fails when the connection is broken, which a read will tell.
            let _ = wire.0.shutdown(Shutdown::Write);
        }
        self.finished = true;
    }
}

impl Session<'_> {
    /// Waits until an end may go on.
    fn wait(&self) {
        let mut fds = Vec::with_capacity(2);
        for (end, more) in [(&self.client, self.client_has_more()), (&self.target, self.target_has_more())] {
            if let Some(wire) = &end.wire
                && end.paused_until.is_none()
            {
                let out = if more { PollFlags::OUT } else { PollFlags::empty() };
                fds.push(PollFd::from_borrowed_fd(wire.0.as_fd(), PollFlags::IN | out));
            }
        }
        // Pauses end by the clock.
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 20_000_000 }));
    }

    fn client_has_more(&self) -> bool {
        !self.client.queue.is_empty() || (!self.close.sent && self.client.sent < self.plan.up)
    }

    fn target_has_more(&self) -> bool {
        !self.target.queue.is_empty() || self.target.sent < self.plan.down
    }

    fn drive_client(&mut self, random: &mut Random) {
        if self.client.wire.is_none() || self.client.is_paused(random) {
            return;
        }
        let most = random.one_of(&[100, 5000, 100_000]);
        let mut space = vec![0; 1 + random.below(most)];
        let count = self.client.read(&mut space);
        let (check, got) = (&mut self.client.check, &mut self.close.got);
        self.pieces.take(&space[..count], &mut |piece| match piece {
            Piece::Data(data) => check.take(data),
            Piece::Control(CLOSE, payload) => {
                let code = payload.first_chunk().map_or(1005, |&code| u16::from_be_bytes(code));
                assert_eq!(got.replace(code), None, "a second Close frame");
            }
            Piece::Control(..) => {}
        });
        if self.client.queue.is_empty() && !self.close.sent && !self.client.finished {
            self.queue_frame(random);
        }
        self.client.write(random);
    }

    /// The client's next frame: data, its answer to a Close, or what ends the session.
    fn queue_frame(&mut self, random: &mut Random) {
        if let Some(code) = self.close.got {
            self.client.queue = Frame::close(code, "").bytes();
            self.close.sent = true;
        } else if self.client.sent < self.plan.up {
            if random.once_in(10) {
                self.client.queue = Frame::new(PING, b"still there?").bytes();
            }
            let most = random.one_of(&[20, 2000, 70_000]);
            let part = self.client.next_part(random.below(most), self.plan.up);
            let opcode = if self.in_message { CONTINUATION } else { BINARY };
            let mut frame = Frame::new(opcode, part);
            frame.mask = Some((random.next() as u32).to_ne_bytes());
            frame.fin = random.once_in(2);
            self.in_message = !frame.fin;
            self.client.queue.extend_from_slice(&frame.bytes());
        } else {
            match self.plan.ending {
                Ending::ClientCloses => {
                    let code = random.one_of(&[1000, 1001, 3000, 4999]);
                    self.client.queue = Frame::close(code, "done").bytes();
                    (self.close.sent, self.close.own) = (true, Some(code));
                }
                Ending::ClientViolates => {
                    self.client.queue = Frame::binary(b"bad").rsv(1 + random.below(7) as u8).bytes();
                    self.close.sent = true;
                }
                Ending::ClientFinishes => self.client.finish(),
                Ending::ClientResets | Ending::TargetFinishes | Ending::TargetResets => {}
            }
        }
    }

    fn drive_target(&mut self, random: &mut Random) {
        if self.target.wire.is_none() || self.target.is_paused(random) {
            return;
        }
        let most = random.one_of(&[100, 5000, 100_000]);
        let mut space = vec![0; 1 + random.below(most)];
        let count = self.target.read(&mut space);
        self.target.check.take(&space[..count]);
        if self.target.queue.is_empty() && self.target.sent < self.plan.down {
            self.target.queue = self.target.next_part(1 + random.below(70_000), self.plan.down).to_vec();
        } else if self.target.queue.is_empty() && self.plan.ending == Ending::TargetFinishes {
            self.target.finish();
        }
        self.target.write(random);
    }

    fn reset_when_it_is_time(&mut self) {
        let end = match self.plan.ending {
            Ending::ClientResets => &mut self.client,
            Ending::TargetResets => &mut self.target,
            _ => return,
        };
        if end.sent - end.queue.len().min(end.sent as usize) as u64 + end.received() >= self.plan.reset_after
            && let Some(wire) = end.wire.take()
        {
            wire.reset();
        }
    }

    /// What each end saw is what the other one did.
    fn check(&self) {
        let Session { plan, client, target, close, .. } = self;
        // Nothing arrives that was not sent; the bytes themselves have been compared as they came.
        assert!(target.received() <= client.sent && client.received() <= target.sent, "{self:?}");
        let (up_whole, down_whole, code) = match plan.ending {
            Ending::ClientCloses => (true, false, close.own),
            Ending::ClientViolates => (true, false, Some(1002)),
            Ending::ClientFinishes => (true, false, None),
            Ending::TargetFinishes => (true, true, Some(1000)),
            Ending::TargetResets => (false, false, Some(1011)),
            Ending::ClientResets => (false, false, None),
        };
        assert!(!up_whole || target.received() == client.sent, "bytes for the target are missing: {self:?}");
        assert!(!up_whole || target.ended_in_order, "the target did not see an orderly end: {self:?}");
        assert!(
            !down_whole || client.received() == target.sent,
            "bytes for the client are missing: {self:?}"
        );
        assert_eq!(close.got, code, "the Close that the client got: {self:?}");
        let resets = plan.ending == Ending::ClientResets;
        assert!(resets || client.ended_in_order, "the client did not see an orderly end: {self:?}");
        let whole = resets || self.pieces.is_between_frames();
        assert!(whole, "the stream ended in the middle of a frame: {self:?}");
    }
}

/// No session lasts that long, with all of its pauses, on the busiest of machines.
const SESSION_MAX: Duration = Duration::from_secs(120);
