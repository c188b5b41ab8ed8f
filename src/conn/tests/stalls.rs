//! Ends that take nothing: what waits is bounded, the other direction goes on, and nothing is lost.

use super::wire::{BINARY, PING, frame};
use super::*;
use crate::ring::RING_BYTES;

/// Bytes that tell where they were.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn a_client_that_does_not_read_stops_the_reading_of_its_target_and_loses_nothing() {
    let sent = pattern(4 * RING_BYTES);
    let mut session = Session::open(Pace { client_room: 0, read: 10_000, ..SMOOTH }, &Setup::default());
    session.target_sends(&sent);
    session.run();
    let read = sent.len() - session.rig.target.reads_left() * 10_000;
    assert!(read <= RING_BYTES, "{read} bytes were read for a client that takes none");
    assert!(session.rig.held_bytes() <= RING_BYTES);
    session.client_sends(&frame(BINARY, b"the other way is open"));
    session.run();
    assert_eq!(session.rig.to_target, b"the other way is open");
    session.pace.client_room = 1000;
    session.run();
    assert!(session.received().data == sent, "all bytes, in order");
    assert_eq!(session.rig.held_bytes(), 0);
}

#[test]
fn a_target_that_does_not_read_stops_the_reading_of_its_client_and_loses_nothing() {
    let sent = pattern(4 * RING_BYTES);
    let mut session = Session::open(Pace { target_room: 0, read: 10_000, ..SMOOTH }, &Setup::default());
    for piece in sent.chunks(3000) {
        session.client_sends(&frame(BINARY, piece));
    }
    let steps = session.rig.client.reads_left();
    session.run();
    assert!(steps - session.rig.client.reads_left() <= RING_BYTES / 3000);
    assert!(session.rig.held_bytes() <= RING_BYTES);
    session.target_sends(b"the other way is open");
    session.run();
    assert_eq!(session.received().data, b"the other way is open");
    session.pace.target_room = 1000;
    session.run();
    assert!(session.rig.to_target == sent, "all bytes, in order");
    assert_eq!(session.rig.held_bytes(), 0);
}

#[test]
fn both_directions_stalled_hold_no_more_than_a_ring_each() {
    let mut session = Session::open(Pace { client_room: 0, target_room: 0, ..SMOOTH }, &Setup::default());
    session.target_sends(&pattern(3 * RING_BYTES));
    session.client_sends(&frame(BINARY, &pattern(3 * RING_BYTES)));
    session.run();
    assert_eq!(session.rig.held_bytes(), 2 * RING_BYTES);
    (session.pace.client_room, session.pace.target_room) = (ALL, ALL);
    session.run();
    assert!(session.received().data == pattern(3 * RING_BYTES));
    assert!(session.rig.to_target == pattern(3 * RING_BYTES));
    assert_eq!(session.rig.held_bytes(), 0);
}

#[test]
fn ends_that_both_wait_are_looked_at_soon_and_once() {
    let rooms = [(0, 0, true), (0, ALL, false), (ALL, 0, false)];
    for (client_room, target_room, both) in rooms {
        let mut session = Session::open(Pace { client_room, target_room, ..SMOOTH }, &Setup::default());
        session.target_sends(&pattern(3 * RING_BYTES));
        session.client_sends(&frame(BINARY, &pattern(3 * RING_BYTES)));
        session.run();
        let soon =
            |session: &Session| session.rig.deadline().is_some_and(|left| left < Duration::from_secs(1));
        assert_eq!(soon(&session), both);
        session.rig.advance(Duration::from_millis(200));
        assert_eq!(soon(&session), both);
        session.rig.advance(Duration::from_millis(300));
        assert!(!soon(&session), "the system's buffers are given back once");
    }
}

#[test]
fn a_ping_while_a_frame_is_half_written_is_answered_after_it() {
    let sent = pattern(100);
    for room in 1..104 {
        let mut session = Session::open(SMOOTH, &Setup::default());
        session.rig.client.block_writes();
        session.rig.client.write_step(Step::Room(room));
        session.pace.client_room = 0;
        session.target_sends(&sent);
        session.run();
        session.client_sends(&frame(PING, b"are you there?"));
        session.run();
        session.pace.client_room = ALL;
        session.run();
        let received = session.received();
        assert_eq!((received.data, received.pongs), (sent.clone(), vec![b"are you there?".to_vec()]));
    }
}

#[test]
fn pings_are_answered_while_the_target_sends_without_end() {
    let mut session = Session::open(Pace { read: 2000, ..SMOOTH }, &Setup::default());
    session.target_sends(&pattern(8 * RING_BYTES));
    session.client_sends(&frame(PING, b"now"));
    session.rig.note(Side::Client, true, true, false);
    session.rig.note(Side::Target, true, true, false);
    session.rig.drive();
    assert!(session.rig.target.reads_left() > 0, "the flood takes more than one turn");
    session.run();
    assert_eq!(session.received().pongs, [b"now"]);
    assert!(session.received().data == pattern(8 * RING_BYTES));
}

#[test]
fn pongs_for_a_client_that_takes_few_are_bounded_and_the_newest_arrives() {
    for room in [0, 1, 6, 127, 130] {
        let mut session = Session::open(Pace { client_room: room, ..SMOOTH }, &Setup::default());
        session.rig.client.block_writes();
        for number in 0..2000_u32 {
            session.client_sends(&frame(PING, &[&number.to_be_bytes()[..], &[0; 121]].concat()));
            session.react();
            session.rig.wake();
        }
        session.pace.client_room = ALL;
        session.run();
        let received = session.received();
        let numbers: Vec<&[u8]> = received.pongs.iter().map(|pong| &pong[..4]).collect();
        assert!(numbers.is_sorted() && !received.is_cut);
        assert_eq!(numbers.last(), Some(&&1999_u32.to_be_bytes()[..]));
    }
}

#[test]
fn a_message_larger_than_any_buffer_streams_through() {
    let sent = pattern(1 << 20);
    let mut session = Session::open(Pace { read: 40_000, target_room: 30_000, ..SMOOTH }, &Setup::default());
    session.client_sends(&frame(BINARY, &sent));
    session.run();
    assert!(session.rig.to_target == sent);
    assert_eq!(session.rig.held_bytes(), 0);
}

#[test]
fn a_small_budget_is_kept_by_reading_little() {
    let setup = Setup { held_bytes_max: RING_BYTES / 8, ..Setup::default() };
    let sent = pattern(RING_BYTES);
    let mut session = Session::open(Pace { client_room: 100, target_room: 100, ..SMOOTH }, &setup);
    session.target_sends(&sent);
    session.client_sends(&frame(BINARY, &sent));
    session.run();
    assert!(session.received().data == sent && session.rig.to_target == sent);
}

#[test]
fn a_part_of_a_request_counts_as_held_and_can_be_ended() {
    let mut session = Session::accepted(SMOOTH, &Setup::default());
    session.client_sends(b"GET / HTTP/1.1\r\n");
    session.run();
    assert_eq!(session.rig.held_bytes(), 16);
    session.client_sends(b"Host: x\r\n");
    session.run();
    assert!(session.rig.held_bytes() >= 25);
    assert!(session.rig.end_overcommitted());
    assert_eq!((session.rig.endings(), session.rig.held_bytes()), (vec!["overcommitted"], 0));
}

#[test]
fn what_came_before_the_target_counts_as_held_and_what_nobody_reads_any_more_does_not() {
    let setup = Setup { held_bytes_max: 1000, ..Setup::default() };
    let mut session = Session::accepted(SMOOTH, &setup);
    session.client_sends(&[wire::REQUEST, &frame(BINARY, &[7; 5000])].concat());
    session.run();
    assert_eq!(session.rig.state(), "connect");
    assert!(session.rig.is_overcommitted() && session.rig.end_overcommitted());
    assert_eq!((session.rig.endings(), session.rig.held_bytes()), (vec!["overcommitted"], 0));
    let mut session = Session::accepted(Pace { client_room: 0, ..SMOOTH }, &setup);
    session.client_sends(&[b"BAD\r\n\r\n", &[7; 5000][..]].concat());
    session.run();
    assert_eq!((session.rig.state(), session.rig.held_bytes()), ("reply", 0));
}

#[test]
fn for_a_client_that_can_not_be_written_to_nothing_is_held_and_its_target_is_not_read() {
    let mut session = Session::open(Pace { target_room: 0, read: 1000, ..SMOOTH }, &Setup::default());
    session.client_sends(&frame(BINARY, b"still owed"));
    session.run();
    let held = session.rig.held_bytes();
    session.rig.client.write_step(Step::Error(std::io::ErrorKind::BrokenPipe));
    session.target_sends(&[7; 10_000]);
    session.run();
    assert_eq!(session.rig.held_bytes(), held);
    assert!(session.rig.target.reads_left() >= 9, "{}", session.rig.target.reads_left());
}
