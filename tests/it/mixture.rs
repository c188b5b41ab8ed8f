//! Every way of ending at one end against every way at the other, many at once: whatever happens, frames
//! stay whole, nothing is left behind, and an ordinary session is served as if nothing had been.

use std::io::{Read, Write};

use super::Server;
use crate::common::client::{Client, UPGRADE};
use crate::common::eventually;
use crate::common::flow::pattern;
use crate::common::frame::{CLOSE, Frame, PING, TEXT};
use crate::common::target::{Target, echo};
use crate::common::wire::Wire;

type Serve = fn(Wire);

/// What the target does, told by the first byte of a session.
const TARGETS: &[(u8, Serve)] = &[
    (b'e', echo),
    (b'f', |wire| {
        // It takes what comes, and floods until it is cut off, whatever the other side says.
        let reader = wire.twin();
        std::thread::spawn(move || (&reader.0).read_to_end(&mut Vec::new()));
        while (&wire.0).write_all(&pattern(64 * 1024)).is_ok() {}
    }),
    (b'1', |wire| drop((&wire.0).write_all(&pattern(1 << 20)))),
    (b'r', |wire| wire.reset()),
    (b'a', |mut wire| {
        wire.send_what_goes(b"the answer");
        wire.reset();
    }),
    (b'h', |wire| {
        let _ = wire.0.shutdown(std::net::Shutdown::Write);
        let _ = (&wire.0).read_to_end(&mut Vec::new());
    }),
    (b's', |mut wire| {
        // Reads nothing for as long as the client lives, then everything.
        wire.wait_until_gone();
    }),
    (b'x', drop),
];

/// What the client does with an open session.
const CLIENTS: &[fn(Client)] = &[
    |mut client| {
        client.wire.send_what_goes(&Frame::close(1000, "").bytes());
        read_to_the_end(client);
    },
    |client| {
        let _ = client.wire.0.shutdown(std::net::Shutdown::Write);
        let mut client = client;
        client.wire.wait_until_gone();
    },
    |client| client.wire.reset(),
    drop,
    |mut client| {
        client.wire.send_what_goes(&Frame::new(TEXT, b"refused").bytes());
        client.wire.send_what_goes(&Frame::close(1000, "").bytes());
        read_to_the_end(client);
    },
    |mut client| {
        client.wire.send_what_goes(&Frame::binary(b"x").rsv(7).bytes());
        client.wire.reset();
    },
    |mut client| {
        let upload = Frame::binary(&pattern(200_000)).bytes();
        client.wire.send_what_goes(&upload);
        client.wire.send_what_goes(&Frame::close(4000, "after the upload").bytes());
        read_to_the_end(client);
    },
    |mut client| {
        let upload = Frame::binary(&pattern(200_000)).bytes();
        client.wire.send_what_goes(&upload[..150_000]);
        client.wire.reset();
    },
    |mut client| {
        client.wire.send_what_goes(&Frame::new(PING, b"and gone").bytes());
        let _ = client.wire.0.shutdown(std::net::Shutdown::Both);
    },
];

/// Reads whole frames until the connection ends, in order or not; a reset in the middle is not a failure here,
/// since the target's may be passed on by the kernel, but a malformed frame is.
fn read_to_the_end(client: Client) {
    let mut bytes = Vec::new();
    let _ = (&client.wire.0).read_to_end(&mut bytes);
    let mut rest = &bytes[..];
    let mut closed = false;
    while rest.len() >= 2 {
        assert!(!closed, "bytes behind a close frame: {rest:02x?}");
        let head = rest[0];
        assert!(matches!(head, 0x82 | 0x88 | 0x89 | 0x8a), "no frame begins like this: {head:02x}");
        closed = head & 0x0f == CLOSE;
        let (start, count) = match rest[1] {
            126 if rest.len() >= 4 => (4, u64::from(rest[2]) << 8 | u64::from(rest[3])),
            127 if rest.len() >= 10 => {
                (10, rest[2..10].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
            }
            126 | 127 => return,
            short => (2, u64::from(short)),
        };
        let end = start + usize::try_from(count).expect("a frame that fits in memory");
        let Some(behind) = rest.get(end..) else { return };
        rest = behind;
    }
}

#[test]
fn every_mixture_of_endings_leaves_nothing_behind() {
    let target = Target::tcp().serve(|mut wire| {
        let mut first = [0];
        if matches!((&wire.0).read(&mut first), Ok(1)) {
            let (_, serve) = TARGETS.iter().find(|(name, _)| *name == first[0]).expect("a known target");
            serve(wire);
        } else {
            wire.wait_until_gone();
        }
    });
    let server = Server::relay(&target.address);
    std::thread::scope(|scope| {
        for early in [false, true] {
            for act in CLIENTS {
                let server = &server;
                scope.spawn(move || {
                    for (name, _) in TARGETS {
                        let mut client = Client::connect(server);
                        let first = Frame::binary(&[*name]).bytes();
                        if early {
                            client.wire.send(&[UPGRADE.as_bytes(), &first].concat());
                            assert_eq!(client.read_head().status, 101);
                        } else {
                            client = client.upgrade();
                            client.wire.send(&first);
                        }
                        act(client);
                    }
                });
            }
        }
    });
    let sessions = 2 * CLIENTS.len() * TARGETS.len();
    assert!(target.accepted() <= sessions);
    eventually("all sockets to be closed", || server.connections() == 0);
    let mut client = Client::open(&server);
    client.send_binary(b"e");
    client.echo(b"as if nothing had been");
    client.close();
}
