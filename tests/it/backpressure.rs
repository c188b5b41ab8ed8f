//! An end that stops reading stops the other end, at a bounded cost in memory; whoever is not part of
//! that session notices nothing, and once reading goes on every byte arrives.

use std::io::Write;

use super::Server;
use crate::common::client::Client;
use crate::common::flow::{Check, Flood, masked_at, pattern};
use crate::common::frame::{Frame, Length, PING, PONG};
use crate::common::target::{Target, echo};

const MIB: u64 = 1 << 20;

/// What one stalled session may cost, in KiB, the buffers of an allocator included.
const GROWTH_KIB: u64 = 1024;

/// An ordinary session, which echoes; `exchange` is what it does before it is closed.
fn one_more(server: &Server, target: &Target, exchange: impl FnOnce(&mut Client)) {
    let mut client = Client::open(server);
    let wire = target.accept();
    let echoing = std::thread::spawn(move || echo(wire));
    exchange(&mut client);
    client.close();
    echoing.join().expect("the echo failed");
}

/// Lets one session come and go, so that what is set up once is not counted against the next.
fn warm_up(server: &Server, target: &Target) {
    one_more(server, target, |client| client.echo(&pattern(100_000)));
}

/// Sessions whose client does not read and whose target has sent until it was stalled.
fn stall(count: usize, server: &Server, target: &Target) -> Vec<(Client, Flood)> {
    let open = |_| {
        let client = Client::connect_narrow(server).upgrade();
        (client, Flood::pattern(target.accept(), 64 * MIB))
    };
    let stalled: Vec<(Client, Flood)> = (0..count).map(open).collect();
    stalled.iter().for_each(|(_, flood)| flood.wait_for_stall());
    stalled
}

/// Ends them in the middle.
fn release(stalled: Vec<(Client, Flood)>) {
    for (client, flood) in stalled {
        flood.abandon();
        drop(client);
    }
}

#[test]
fn a_client_that_stops_reading_stops_its_target_and_loses_nothing() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    warm_up(&server, &target);
    let mut client = Client::connect_narrow(&server).upgrade();
    let wire = target.accept();
    let before = server.memory_kib();
    let flood = Flood::pattern(wire, 64 * MIB);
    flood.wait_for_stall();
    assert!(flood.sent() < 64 * MIB, "the whole flood went somewhere");
    let grown = server.memory_kib().saturating_sub(before);
    let closing = std::thread::spawn(move || drop(flood.join()));
    client.wire.widen();
    client.check_data(64 * MIB);
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
    closing.join().expect("the target's sender failed");
    assert!(grown <= GROWTH_KIB, "{grown} KiB more for a client that does not read");
}

#[test]
fn a_target_that_stops_reading_stops_its_client_and_loses_nothing() {
    let target = Target::tcp_narrow();
    let server = Server::relay(&target.address);
    warm_up(&server, &target);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    let before = server.memory_kib();
    let flood = client.flood(64 * MIB, 16 * 1024);
    flood.wait_for_stall();
    assert!(flood.sent() < 64 * MIB, "the whole upload went somewhere");
    let grown = server.memory_kib().saturating_sub(before);
    wire.widen();
    Check::default().read(&mut wire, 64 * MIB);
    flood.join().send(&Frame::close(1000, "").bytes());
    assert_eq!(wire.read_to_end(), b"");
    drop(wire);
    assert_eq!(client.closed_with(1000), "");
    assert!(grown <= GROWTH_KIB, "{grown} KiB more for a target that does not read");
}

#[test]
fn a_client_that_reads_goes_on_reading_while_its_target_is_stalled() {
    let target = Target::tcp_narrow();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    let flood = client.flood(64 * MIB, 64 * 1024);
    flood.wait_for_stall();
    for _ in 0..10 {
        wire.send(b"the other direction");
        assert_eq!(client.data(19), b"the other direction");
    }
    wire.widen();
    Check::default().read(&mut wire, 64 * MIB);
    drop(flood.join());
}

#[test]
fn a_target_that_reads_goes_on_reading_while_its_client_is_stalled() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect_narrow(&server).upgrade();
    let mut wire = target.accept();
    let flood = Flood::pattern(wire.twin(), 32 * MIB);
    flood.wait_for_stall();
    for _ in 0..10 {
        client.send_binary(b"the other direction");
        assert_eq!(wire.read_exactly(19), b"the other direction");
    }
    let draining = std::thread::spawn(move || drop(flood.join()));
    client.wire.widen();
    client.check_data(32 * MIB);
    draining.join().expect("the target's sender failed");
}

#[test]
fn pings_before_and_in_a_stalled_upload_are_all_answered() {
    let target = Target::tcp_narrow();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    client.send(&Frame::new(PING, b"before"));
    assert_eq!(client.frame_of(PONG), b"before");
    let mut count = 0;
    let flood = Flood::chunks(client.wire.twin(), move |_| {
        count += 1;
        let data = Frame::pattern(0, 64 * 1024);
        let ping = Frame::new(PING, format!("{count}").as_bytes()).bytes();
        if count > 1024 { Vec::new() } else { [data, ping].concat() }
    });
    flood.wait_for_stall();
    wire.widen();
    let mut reader = wire.twin();
    let draining = std::thread::spawn(move || {
        for _ in 0..1024 {
            assert!(reader.read_exactly(64 * 1024) == pattern(64 * 1024), "the upload was changed");
        }
    });
    for number in 1..=1024 {
        assert_eq!(client.frame_of(PONG), format!("{number}").as_bytes());
    }
    draining.join().expect("the target's reader failed");
    drop(flood.join());
    wire.send(b"and on");
    assert_eq!(client.data(6), b"and on");
}

#[test]
fn a_client_whose_target_is_stalled_still_gets_heartbeats_and_is_not_ended() {
    let target = Target::tcp_narrow();
    let server = Server::relay_with(&target.address, &["--heartbeat", "1"]);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    let flood = client.flood(32 * MIB, 64 * 1024);
    flood.wait_for_stall();
    // None of them can be answered where the gateway would see it: the upload is in front of the answer.
    for _ in 0..4 {
        client.frame_of(PING);
    }
    wire.widen();
    Check::default().read(&mut wire, 32 * MIB);
    drop(flood.join());
    wire.send(b"still here");
    assert_eq!(client.data(10), b"still here");
}

#[test]
fn a_frame_of_a_tebibyte_streams_through_as_it_comes() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    warm_up(&server, &target);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    let before = server.memory_kib();
    client.send(&Frame::binary(b"").length(Length::Announced(1 << 40)));
    let mut sender = client.wire.twin();
    let sending = std::thread::spawn(move || {
        // Parts of a length divisible by four keep the key in step.
        for part in 0..32 * 16 {
            sender.send(&masked_at(part * 64 * 1024)[..64 * 1024]);
        }
    });
    Check::default().read(&mut wire, 32 * MIB);
    let grown = server.memory_kib().saturating_sub(before);
    sending.join().expect("the client's sender failed");
    client.wire.finish();
    assert_eq!(wire.read_to_end(), b"");
    assert!(grown <= GROWTH_KIB, "{grown} KiB more for a long frame");
}

#[test]
fn stalled_sessions_leave_others_alone() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let stalled = stall(8, &server, &target);
    one_more(&server, &target, |client| {
        for round in 0..200 {
            client.echo(&pattern(1 + round * 100));
        }
    });
    release(stalled);
}

#[test]
fn a_hundred_stalled_sessions_cost_at_most_256_kib_each() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    warm_up(&server, &target);
    let before = server.memory_kib();
    let stalled = stall(100, &server, &target);
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown <= 100 * 256, "{grown} KiB more for 100 stalled sessions");
    one_more(&server, &target, |client| {
        client.echo(b"room for one more");
    });
    release(stalled);
}

#[test]
fn both_directions_stalled_at_once_recover() {
    let target = Target::tcp_narrow();
    let server = Server::relay(&target.address);
    let mut client = Client::connect_narrow(&server).upgrade();
    let mut wire = target.accept();
    let up = client.flood(32 * MIB, 48 * 1024);
    let down = Flood::pattern(wire.twin(), 32 * MIB);
    up.wait_for_stall();
    down.wait_for_stall();
    wire.widen();
    let reading = std::thread::spawn(move || {
        Check::default().read(&mut wire, 32 * MIB);
        wire
    });
    client.wire.widen();
    client.check_data(32 * MIB);
    let wire = reading.join().expect("the target's reader failed");
    drop((up.join(), down.join()));
    drop(wire);
    assert_eq!(client.closed_with(1000), "Target closed");
}

#[test]
fn a_slow_reader_gets_every_byte_in_order() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect_narrow(&server).upgrade();
    let flood = Flood::pattern(target.accept(), 2 * MIB);
    // Bites of odd sizes, so that the frames' seams fall everywhere.
    let mut raw = Vec::new();
    let mut sizes = (1..).map(|step: usize| 1 + step * 37 % 4093);
    let mut check = Check::default();
    while check.position < 2 * MIB {
        let count = sizes.next().unwrap_or(1);
        let mut bite = vec![0; count];
        let got = client.wire.read_some(&mut bite);
        assert!(got > 0, "the stream ended after {} bytes", check.position);
        raw.extend_from_slice(&bite[..got]);
        while let Some((payload, used)) = whole_frame(&raw) {
            check.take(&raw[payload..used]);
            raw.drain(..used);
        }
    }
    drop(flood.join());
}

/// Where the payload of the first whole frame in `bytes` begins and ends.
fn whole_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (start, count) = match *bytes.get(1)? {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into()),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    let end = start + usize::try_from(count).ok()?;
    (bytes.len() >= end).then_some((start, end))
}

#[test]
fn a_write_only_client_and_a_write_only_target_do_not_lock_up() {
    // Each end writes a little and only then reads: neither waits for the other.
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    client.send_binary(&pattern(100_000));
    (&wire.0).write_all(&pattern(100_000)).expect("the target's write");
    assert_eq!(wire.read_exactly(100_000), pattern(100_000));
    client.check_data(100_000);
}
