//! A session over TCP of this machine: what both ends have sent and got.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Instant;

use super::*;
use crate::conn::rig::Ends;
use crate::sys;

pub(super) struct Tcp {
    pub(super) rig: Rig,
    pub(super) ends: Ends,
    /// Everything that the client got.
    got: Vec<u8>,
    /// What of that was put between by the test, and where.
    junk: Vec<(usize, usize)>,
    /// Bytes that the target has sent.
    pub(super) sent: usize,
    /// Everything that the target got.
    pub(super) got_up: Vec<u8>,
}

impl Tcp {
    /// A session whose client has got its 101 and whose target is connected.
    pub(super) fn open(setup: &Setup) -> Tcp {
        Tcp::between(Rig::over_tcp(setup))
    }

    /// The same with a client that is far.
    pub(super) fn from_afar(setup: &Setup) -> Tcp {
        Tcp::between(Rig::from_afar(setup))
    }

    fn between((rig, ends): (Rig, Ends)) -> Tcp {
        let mut tcp = Tcp::accepted((rig, ends));
        assert!(tcp.rig.dial_tcp());
        tcp.rig.wake();
        assert_eq!(tcp.rig.state(), "relay");
        tcp
    }

    /// A client that has got its 101, before the target is dialled.
    pub(super) fn accepted((rig, ends): (Rig, Ends)) -> Tcp {
        let mut tcp = Tcp { rig, ends, got: Vec::new(), junk: Vec::new(), sent: 0, got_up: Vec::new() };
        tcp.client_sends(wire::REQUEST);
        tcp.take();
        assert_eq!((tcp.received().status, tcp.rig.state()), (Some(101), "connect"));
        tcp
    }

    /// The client sends this, and it has arrived.
    pub(super) fn client_sends(&mut self, bytes: &[u8]) {
        (&self.ends.client).write_all(bytes).expect("there is room");
        arrive(&self.ends.to_client, bytes.len());
        self.rig.wake();
    }

    /// The target sends this many bytes, and they have arrived; nothing is done about it yet.
    pub(super) fn target_sends(&mut self, count: usize) {
        let bytes = pattern(self.sent, count);
        (&self.ends.target).write_all(&bytes).expect("there is room");
        self.sent += count;
        arrive(&self.ends.to_target, count);
    }

    /// The target sends as much of this many bytes as is taken now.
    pub(super) fn sends_what_goes(&mut self, count: usize) {
        match (&self.ends.target).write(&pattern(self.sent, count.min(1 << 16))) {
            Ok(count) => self.sent += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    /// As [`Tcp::target_sends`], and the session goes on.
    pub(super) fn moves_down(&mut self, count: usize) {
        self.target_sends(count);
        self.rig.wake();
    }

    /// Both ends take what there is now.
    pub(super) fn take_once(&mut self) {
        take(&self.ends.client, &mut self.got);
        take(&self.ends.target, &mut self.got_up);
    }

    /// Both ends take what there is for as long as something comes.
    pub(super) fn take(&mut self) {
        let mut still = 0;
        let deadline = Instant::now() + PATIENCE;
        while still < 3 {
            let before = (self.got.len(), self.got_up.len());
            self.rig.wake();
            self.take_once();
            let on_its_way =
                [&self.ends.to_client, &self.ends.target, &self.ends.client, &self.ends.to_target];
            let moves = before != (self.got.len(), self.got_up.len())
                || on_its_way.iter().any(|socket| left(socket) > 0);
            still = if moves { 0 } else { still + 1 };
            assert!(Instant::now() < deadline, "there is no end to it");
        }
    }

    /// Takes everything up to the Close, and returns its code.
    pub(super) fn take_to_close(&mut self) -> Option<u16> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.take();
            let has_junk = self.junk.iter().all(|(at, count)| at + count <= self.got.len());
            if has_junk && let Some((code, _)) = self.received().close {
                return code;
            }
            assert!(Instant::now() < deadline, "there is no Close");
        }
    }

    /// From now on the client's connection takes nothing, until the client does.
    pub(super) fn fill_client(&mut self) {
        self.take();
        let count = fill(&self.ends.to_client);
        self.junk.push((self.got.len(), count));
    }

    /// Takes everything, and looks whether it is all that the target has sent, each byte where it belongs.
    pub(super) fn take_all(&mut self) -> Received {
        self.take();
        let received = self.received();
        assert_eq!(received.data.len(), self.sent);
        assert!(received.data == pattern(0, self.sent), "the client got what was not sent");
        received
    }

    pub(super) fn received(&self) -> Received {
        Received::read(&self.stream())
    }

    /// Payload lengths of the frames that came last, behind this many bytes of payload.
    pub(super) fn frames_behind(&self, payload: usize) -> Vec<usize> {
        let stream = self.stream();
        let end = memchr::memmem::find(&stream, b"\r\n\r\n").expect("the head is whole") + 4;
        let (mut rest, mut before, mut frames) = (&stream[end..], 0, Vec::new());
        while let [_, second, ..] = rest {
            let (header, len) = match *second {
                126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
                127 => (10, u64::from_be_bytes(rest[2..10].try_into().expect("eight bytes")) as usize),
                len => (2, usize::from(len)),
            };
            if before >= payload {
                frames.push(len);
            }
            before += len;
            rest = &rest[header + len..];
        }
        frames
    }

    /// What the gateway has sent to the client.
    fn stream(&self) -> Vec<u8> {
        let mut stream = self.got.clone();
        for &(at, count) in self.junk.iter().rev() {
            stream.drain(at..at + count);
        }
        stream
    }
}

/// Bytes that tell where they were.
fn pattern(start: usize, count: usize) -> Vec<u8> {
    (start..start + count).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// Waits until this many bytes lie unread in a socket.
fn arrive(socket: &TcpStream, count: usize) {
    let (mut space, deadline) = (vec![0; count], Instant::now() + PATIENCE);
    while socket.peek(&mut space).unwrap_or(0) < count {
        assert!(Instant::now() < deadline, "{count} bytes do not arrive");
        std::thread::yield_now();
    }
}

/// Writes until a socket takes nothing more, and will not: the other end's system finds some more room when it is asked
/// again. Returns how much it took.
pub(super) fn fill(mut socket: &TcpStream) -> usize {
    let (mut count, mut refused_at) = (0, Instant::now());
    while refused_at.elapsed() < ASKED_AGAIN {
        match socket.write(&[0; 65_536]) {
            Ok(more) => (count, refused_at) = (count + more, Instant::now()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    count
}

/// Bytes that a socket has been given and its peer's has not acknowledged.
fn left(socket: &TcpStream) -> usize {
    sys::unacknowledged(socket.as_fd()).expect("TCP")
}

fn take(mut socket: &TcpStream, into: &mut Vec<u8>) {
    let mut space = vec![0; 1 << 16];
    while let Ok(count @ 1..) = socket.read(&mut space) {
        into.extend_from_slice(&space[..count]);
    }
}

/// By then a full end has been asked whether it has room (200 ms).
const ASKED_AGAIN: Duration = Duration::from_millis(300);

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_secs(20);
