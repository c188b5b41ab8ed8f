//! Bulk data between real sockets, which goes through the reactor's pipe, under any order of reads and writes of the
//! peers.

use std::io::{Read, Write};
use std::net::TcpStream;

use websockify::conn::rig::wire::{self, Received};
use websockify::conn::rig::{Ends, Rig, Setup};

/// What the target sends comes to the client in order, whole where both last, and nothing else does; likewise the
/// other way. Each pair of bytes is an action and its size.
pub fn splice(data: &[u8]) {
    let (mut rig, Ends { mut client, mut target, .. }) = Rig::over_tcp(&Setup::default());
    client.write_all(wire::REQUEST).expect("there is room");
    rig.wake();
    assert!(rig.dial_tcp());
    rig.wake();
    let mut world = World { from_target: 0, got: Vec::new(), up: Vec::new(), got_up: Vec::new() };
    for pair in data.chunks_exact(2) {
        let size = usize::from(pair[1]).pow(2) * 4 + 1;
        match pair[0] & 7 {
            0..=2 => world.send_down(&mut target, size * 2),
            3 => take(&mut client, &mut world.got, size * 2),
            4 => world.send_up(&mut client, size.min(10_000)),
            5 => take(&mut target, &mut world.got_up, size),
            _ => rig.wake(),
        }
        if pair[0] & 8 == 0 {
            rig.wake();
        }
    }
    // The target ends, and the client takes what there is.
    let _ = target.shutdown(std::net::Shutdown::Write);
    for _ in 0..ROUNDS_MAX {
        let before = world.got.len();
        rig.wake();
        take(&mut client, &mut world.got, usize::MAX);
        take(&mut target, &mut world.got_up, usize::MAX);
        if world.got.len() > before {
            continue;
        }
        let received = Received::read(&world.got);
        assert!(received.data == pattern(0, received.data.len()), "the client got what was not sent");
        if received.close.is_some() {
            assert_eq!(received.data.len(), world.from_target, "the client is owed bytes");
            assert!(world.up.starts_with(&world.got_up), "the target got what was not sent");
            return;
        }
    }
    panic!("the end of the target does not come");
}

struct World {
    from_target: usize,
    got: Vec<u8>,
    up: Vec<u8>,
    got_up: Vec<u8>,
}

impl World {
    fn send_down(&mut self, target: &mut TcpStream, len: usize) {
        let bytes = pattern(self.from_target, len.min(BYTES_MAX.saturating_sub(self.from_target)));
        self.from_target += write(target, &bytes);
    }

    fn send_up(&mut self, client: &mut TcpStream, len: usize) {
        let payload = pattern(self.up.len(), len);
        let frame = wire::frame(wire::BINARY, &payload);
        // Small enough to go whole, or the stream is of no use any more.
        if self.up.len() + len < UP_MAX && write(client, &frame) == frame.len() {
            self.up.extend(payload);
        }
    }
}

/// Every byte tells where it is.
fn pattern(start: usize, len: usize) -> Vec<u8> {
    (start..start + len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

/// Writes as much as is taken at once.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    sent
}

/// Reads at most so much of what is there.
fn take(stream: &mut TcpStream, into: &mut Vec<u8>, most: usize) {
    let mut space = vec![0; 1 << 16];
    let mut left = most;
    while left > 0 {
        let len = space.len().min(left);
        match stream.read(&mut space[..len]) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                into.extend_from_slice(&space[..count]);
                left -= count;
            }
        }
    }
}

/// What the target sends at most, so that an input stays fast.
const BYTES_MAX: usize = 2 << 20;

/// The same for the client; the sockets have room for it.
const UP_MAX: usize = 60_000;

/// Rounds in which all comes to its end: what is on its way between sockets of this machine needs none.
const ROUNDS_MAX: usize = 10_000;
