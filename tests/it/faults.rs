//! Abuse: clients that come and go in every way, garbage before and behind the handshake. Nothing of it
//! reaches a target that should not see it, and nothing of it is left behind.

use super::Server;
use crate::common::client::{Client, UPGRADE};
use crate::common::eventually;
use crate::common::frame::{BINARY, CLOSE, CONTINUATION, Frame, Length, PING, PONG, TEXT};
use crate::common::process::size;
use crate::common::random::Random;
use crate::common::target::Target;

/// Connections that come and go; `WEBSOCKIFY_CYCLES=20000` is the large form.
fn cycles() -> usize {
    size("WEBSOCKIFY_CYCLES", 500)
}

#[test]
fn nothing_is_left_of_connections_that_came_and_went_in_every_way() {
    const WARM_UP: usize = 8 * WAYS;
    let count = cycles();
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["-v"]);
    (0..WARM_UP).for_each(|number| come_and_go(&server, number));
    // The poll, the waker and the listener are left when all of them have gone.
    eventually("the warm-up to be over", || server.watched() == [2]);
    let descriptors = server.free_descriptors(1024);
    let memory = server.memory_kib();
    (0..count).for_each(|number| come_and_go(&server, number));
    eventually("every connection to be gone", || server.watched() == [2]);
    eventually("every descriptor to be back", || server.free_descriptors(1024) == descriptors);
    let grown = server.memory_kib().saturating_sub(memory);
    println!("{count} connections: {grown} KiB more");
    assert!(grown <= 1024, "{grown} KiB more after {count} connections");
    assert_eq!(server.children(), 0);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let ended: u64 = server.endings().iter().map(|(_, count)| count).sum();
    assert_eq!(ended, (WARM_UP + count) as u64, "endings and connections: {:?}", server.endings());
}

/// One connection in one of this many ways.
fn come_and_go(server: &Server, number: usize) {
    let mut client = Client::connect(server);
    match number % WAYS {
        // Connect.
        0 => drop(client),
        1 => client.wire.reset(),
        // Half-open.
        2 => client.wire.send(&UPGRADE.as_bytes()[..number % UPGRADE.len()]),
        3 => {
            client.wire.send(b"GET / HTTP/1.1\r\nHost");
            client.wire.reset();
        }
        // Refused.
        4 => {
            client.wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(client.read_answer_to_end().status, 405);
        }
        // Upgraded, and left in order.
        5 => {
            let mut client = client.upgrade();
            client.echo(b"hello");
            client.close();
        }
        // Upgraded, and gone.
        6 => drop(client.upgrade()),
        7 => client.upgrade().wire.reset(),
        // Gone in the middle of data.
        8 => {
            let mut client = client.upgrade();
            client.wire.send(&Frame::binary(&[7; 100_000]).bytes()[..60_000]);
            client.wire.reset();
        }
        _ => {
            client.wire.send(UPGRADE.as_bytes());
            client.wire.reset();
        }
    }
}

const WAYS: usize = 10;

#[test]
fn five_hundred_kinds_of_garbage_never_reach_a_target() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    eventually("the reactor to be there", || server.watched() == [2]);
    let descriptors = server.free_descriptors(1024);
    let mut random = Random::new(1);
    for number in 0..500 {
        let mut client = Client::connect(&server);
        client.wire.send_what_goes(&garbage(number, &mut random));
        let _ = client.wire.0.shutdown(std::net::Shutdown::Write);
        client.wire.wait_until_gone();
    }
    assert!(target.is_untouched());
    eventually("every connection to be gone", || server.watched() == [2]);
    eventually("every descriptor to be back", || server.free_descriptors(1024) == descriptors);
    let _session = Client::open(&server);
    target.accept();
}

/// Something that is not a request for an upgrade.
fn garbage(number: usize, random: &mut Random) -> Vec<u8> {
    let count = 1 + random.below(3000);
    let noise = random.bytes(count);
    match number % 10 {
        0 => noise,
        1 => vec![(number / 10) as u8; noise.len()],
        2 => [b"\x16\x03\x01", &noise[..]].concat(),
        3 => [b"GET ", &noise[..]].concat(),
        4 => [&noise[..], b"\r\n\r\n"].concat(),
        5 => format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20 * noise.len())).into(),
        6 => {
            let greetings: [&[u8]; 5] =
                [b"SSH-2.0-x\r\n", b"RFB 003.008\n", b"\x05\x01\x00", b"*1\r\n$4\r\nPING\r\n", b"EHLO x\r\n"];
            [greetings[number / 10 % 5], &noise].concat()
        }
        // An upgrade with a header's value spoilt, cut short, or with noise in its middle.
        7 => UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", &"\x7f".repeat(number % 24)).into(),
        8 => UPGRADE.as_bytes()[..number % UPGRADE.len()].to_vec(),
        _ => {
            let (start, end) = UPGRADE.as_bytes().split_at(1 + number % (UPGRADE.len() - 4));
            [start, b"\0\xff", &noise, end].concat()
        }
    }
}

#[test]
fn five_hundred_garbage_frames_are_refused_and_no_byte_of_them_reaches_the_target() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    eventually("the reactor to be there", || server.watched() == [2]);
    let mut random = Random::new(2);
    for number in 0..500 {
        let mut client = Client::open(&server);
        let mut wire = target.accept();
        let (before, bad, code) = garbage_frame(number, &mut random);
        client.wire.send(&[before.bytes(), bad.clone(), Frame::binary(b"behind").bytes()].concat());
        let (got, reason) = client.closed();
        assert_eq!(got, Some(code), "{number}: {:02x?}: {reason}", &bad[..bad.len().min(16)]);
        assert_eq!(wire.read_to_end(), b"good", "{number}: {:02x?}", &bad[..bad.len().min(16)]);
        drop(wire);
        client.ended();
    }
    eventually("every connection to be gone", || server.watched() == [2]);
}

/// A good frame, the bytes of a bad one to follow it, and the code that the bad one is answered with.
fn garbage_frame(number: usize, random: &mut Random) -> (Frame, Vec<u8>, u16) {
    let good = Frame::binary(b"good");
    let count = random.below(120);
    let noise = random.bytes(count);
    let long = random.bytes(126 + count * 7);
    let control = random.one_of(&[CLOSE, PING, PONG]);
    let frame = match number % 13 {
        0 => Frame::binary(&noise).rsv(1 + random.below(7) as u8),
        1 => Frame::new(control, b"").rsv(1 + random.below(7) as u8),
        2 => Frame::new(random.one_of(&[3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), &noise),
        3 => Frame::binary(&noise).unmasked(),
        4 => Frame::new(control, b"").more(),
        5 => Frame::new(control, &long),
        6 => Frame::new(CLOSE, &noise[..noise.len().min(1)]).unmasked(),
        7 => Frame::close(random.one_of(&[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]), ""),
        8 => Frame::binary(&noise).length(random.one_of(&[Length::Sixteen, Length::SixtyFour])),
        9 => Frame::binary(&noise).length(Length::Announced(1 << 63 | random.next())),
        10 => return (good, Frame::new(CONTINUATION, &noise).bytes(), 1002),
        11 => {
            let text = Frame::new(TEXT, &noise);
            return (good, if random.once_in(2) { text.more() } else { text }.bytes(), 1003);
        }
        _ => {
            if random.once_in(2) {
                return (good.more(), Frame::new(BINARY, &noise).bytes(), 1002);
            }
            return (good, Frame::new(CLOSE, b"\x03\xe8\xff\xfe").bytes(), 1007);
        }
    };
    (good, frame.bytes(), 1002)
}
