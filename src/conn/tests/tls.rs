//! Clients with TLS: the same sessions, and what only TLS has.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};

use super::wire::{BINARY, frame};
use super::*;
use crate::conn::delivery::{LEAST_BYTES, STALL};
use crate::conn::rig;
use crate::net::tls::UNREAD_MAX;
use crate::ring::RING_BYTES;

/// A gateway with a certificate, and a client that believes it.
fn secured() -> Setup {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let cert = params.self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a matching pair");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Setup { tls: Some((Arc::new(server), Arc::new(client))), ..Setup::default() }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn a_session_goes_the_same_way_at_every_pace() {
    let setup = secured();
    for pace in Pace::all().step_by(7) {
        let (up, down) = (pattern(300), pattern(400));
        let mut session = Session::open(pace, &setup);
        assert!(session.rig.take_log().contains("SSL/TLS (wss://) WebSocket connection"));
        session.client_sends(&frame(BINARY, &up));
        session.target_sends(&down);
        session.run();
        assert!(session.rig.to_target == up && session.received().data == down, "{pace:?}");
        assert_eq!(session.rig.held_bytes(), 0);
        session.client_closes(1000, "done");
        session.run_to_the_end();
        assert_eq!(session.received().close, Some((Some(1000), "done".into())), "{pace:?}");
        assert_eq!(session.rig.endings(), ["client-closed"]);
    }
}

#[test]
fn records_without_data_do_not_keep_the_turn_before_the_request() {
    let mut session = Session::accepted(Pace { client_room: ALL, ..SMOOTH }, &secured());
    session.run();
    assert_eq!(session.rig.state(), "handshake");
    // Each read brings one byte of a record, so none but the last brings data.
    session.pace.read = 1;
    session.client_sends(wire::REQUEST);
    let reads = session.rig.client.reads_left();
    session.rig.note(Side::Client, true, true, false);
    session.rig.drive();
    assert!(reads - session.rig.client.reads_left() < 10, "others have to wait");
    session.rig.settle();
    assert_eq!(session.rig.state(), "connect", "nothing is forgotten");
}

#[test]
fn records_without_data_have_turns_in_a_session_too_and_nothing_is_forgotten() {
    let mut session = Session::open(SMOOTH, &secured());
    session.pace.read = 1;
    session.rig.target.write_step(Step::Room(100));
    session.client_sends(&frame(BINARY, b"late"));
    session.rig.note(Side::Client, true, true, false);
    session.rig.drive();
    assert!(session.rig.worked() >= 128 * 1024, "others have their turn first");
    session.rig.settle();
    assert_eq!(session.rig.to_target, b"late");
}

#[test]
fn a_request_has_its_time_over_tls_too_however_it_drips() {
    for dripping in [false, true] {
        let mut session = Session::accepted(SMOOTH, &secured());
        session.run();
        assert_eq!(session.rig.state(), "handshake");
        for byte in b"GET /".iter().chain(&[b'x'; 75]) {
            if session.rig.is_alive() && dripping {
                session.client_sends(&[*byte]);
                session.run();
            }
            session.rig.advance(Duration::from_millis(500));
        }
        assert_eq!(session.rig.endings(), ["slow-request"]);
        assert!(!session.rig.is_alive());
    }
}

#[test]
fn a_stalled_client_costs_a_ring_of_sealed_bytes_and_loses_nothing() {
    let sent = pattern(4 * RING_BYTES);
    let mut session = Session::open(Pace { client_room: 0, read: 10_000, ..SMOOTH }, &secured());
    session.target_sends(&sent);
    session.run();
    assert!(session.rig.held_bytes() <= RING_BYTES, "{}", session.rig.held_bytes());
    assert!(session.rig.deadline().is_some(), "sealed bytes count as refused ones");
    session.client_sends(&frame(BINARY, b"the other way is open"));
    session.run();
    assert_eq!(session.rig.to_target, b"the other way is open");
    session.pace.client_room = 1000;
    session.run();
    assert!(session.received().data == sent, "all bytes, in order");
    assert_eq!(session.rig.held_bytes(), 0);
}

#[test]
fn both_directions_stalled_hold_no_more_than_a_ring_each() {
    let mut session = Session::open(Pace { client_room: 0, target_room: 0, ..SMOOTH }, &secured());
    session.target_sends(&pattern(3 * RING_BYTES));
    session.client_sends(&frame(BINARY, &pattern(3 * RING_BYTES)));
    session.run();
    assert!(session.rig.held_bytes() <= 2 * RING_BYTES + UNREAD_MAX);
    (session.pace.client_room, session.pace.target_room) = (ALL, ALL);
    session.run();
    assert!(session.received().data == pattern(3 * RING_BYTES));
    assert!(session.rig.to_target == pattern(3 * RING_BYTES));
}

#[test]
fn a_client_that_takes_nothing_is_ended_and_one_that_takes_enough_is_not() {
    for (room, alive) in [(0, false), (100, false), (LEAST_BYTES, true)] {
        let mut session = Session::open(Pace { client_room: 0, ..SMOOTH }, &secured());
        session.target_sends(&pattern(2 * RING_BYTES));
        session.run();
        for _ in 0..4 {
            session.rig.advance(STALL / 2);
            if room > 0 {
                session.rig.client.write_step(Step::Room(room));
                session.rig.client.write_step(Step::Block);
                session.rig.wake();
            }
        }
        assert_eq!(session.rig.is_alive(), alive);
        assert_eq!(session.rig.endings(), if alive { vec![] } else { vec!["client-stalled"] });
    }
}

#[test]
fn what_waits_behind_a_fault_can_be_given_up_for_want_of_memory() {
    let mut session = Session::open(Pace { client_room: 0, ..SMOOTH }, &secured());
    session.client_leaves = false;
    session.target_sends(&pattern(3 * RING_BYTES));
    session.run();
    session.rig.client.read_step(Step::Bytes([&[23, 3, 3, 0, 40][..], &[9; 40]].concat()));
    session.run();
    assert_eq!((session.rig.state(), session.rig.endings()), ("close", vec!["client-tls"]));
    assert!(session.rig.held_bytes() > 0, "the alert waits behind sealed data");
    assert!(session.rig.end_overcommitted());
    assert_eq!((session.rig.endings(), session.rig.held_bytes()), (vec!["client-tls"], 0));
}

#[test]
fn a_part_of_a_record_counts_as_held_before_the_request_and_in_the_session() {
    let part = [&[23, 3, 3, 0x40, 0x00][..], &[9; 1000]].concat();
    let setup = Setup { held_bytes_max: 1000, ..secured() };
    let mut session = Session::accepted(SMOOTH, &setup);
    session.run();
    session.rig.client.read_step(Step::Bytes(part.clone()));
    session.run();
    assert_eq!((session.rig.state(), session.rig.held_bytes()), ("handshake", 1005));
    assert!(session.rig.is_overcommitted() && session.rig.end_overcommitted());
    assert_eq!((session.rig.endings(), session.rig.held_bytes()), (vec!["overcommitted"], 0));
    let mut session = Session::open(SMOOTH, &setup);
    session.rig.client.read_step(Step::Bytes(part));
    session.run();
    assert_eq!(session.rig.held_bytes(), 1005);
    assert!(session.rig.end_overcommitted());
    assert_eq!((session.rig.endings(), session.rig.held_bytes()), (vec!["overcommitted"], 0));
}

#[test]
fn the_targets_end_waits_for_what_is_sealed() {
    let sent = pattern(RING_BYTES);
    let mut session = Session::open(Pace { client_room: 0, ..SMOOTH }, &secured());
    session.target_sends(&sent);
    session.rig.target.read_step(Step::Eof);
    session.run();
    session.pace.client_room = 5000;
    session.run_to_the_end();
    assert!(session.received().data == sent);
    assert_eq!(session.received().close, Some((Some(1000), "Target closed".into())));
    assert_eq!(session.rig.endings(), ["target-closed"]);
}

#[test]
fn a_stream_that_ends_without_a_close_notify_is_cut() {
    let setup = secured();
    let mut session = Session::open(SMOOTH, &setup);
    session.client_sends(&frame(BINARY, b"before"));
    session.rig.client.read_step(Step::Eof);
    session.run_to_the_end();
    assert_eq!(session.rig.to_target, b"before");
    assert_eq!(session.rig.endings(), ["client-cut"]);

    let mut session = Session::open(SMOOTH, &setup);
    session.rig.tls.as_mut().expect("TLS").send_close_notify();
    session.run_to_the_end();
    assert_eq!(session.rig.endings(), ["client-closed"], "this one has ended");
}

#[test]
fn damage_ends_the_session_in_order_with_an_alert() {
    let mut session = Session::open(SMOOTH, &secured());
    session.client_leaves = false;
    session.rig.client.read_step(Step::Bytes([&[23, 3, 3, 0, 40][..], &[9; 40]].concat()));
    session.run();
    assert_eq!((session.rig.state(), session.rig.endings()), ("close", vec!["client-tls"]));
    assert!(session.rig.take_log().contains("Client broke TLS: a record was damaged"));
    session.client_leaves = true;
    session.run_to_the_end();
}

#[test]
fn handshakes_that_are_late_half_or_hopeless_end_each_in_its_own_way() {
    let hello = [&[22, 3, 1, 0, 200][..], &[1, 0, 0, 196, 3, 3], &[7; 50]].concat();
    let begin = |setup: &Setup, bytes: &[u8]| {
        let mut session = Session::accepted(SMOOTH, setup);
        session.rig.tls = None;
        session.client_leaves = false;
        session.client_sends(bytes);
        session.run();
        session
    };
    let setup = secured();
    let mut late = begin(&setup, &hello);
    assert_eq!(late.rig.state(), "tls");
    late.run_to_the_end();
    assert_eq!(late.rig.endings(), ["slow-tls"]);
    let mut half = begin(&setup, &hello);
    half.rig.client.read_step(Step::Eof);
    half.run_to_the_end();
    assert_eq!(half.rig.endings(), ["half-tls"]);
    let mut hopeless = begin(&setup, b"\x16 is no handshake");
    assert_eq!(hopeless.rig.state(), "close", "the alert has to be delivered");
    assert_eq!(hopeless.rig.to_client[0], 21);
    hopeless.run_to_the_end();
    assert_eq!(hopeless.rig.endings(), ["tls-failed"]);
    let mut bare = begin(&Setup::default(), &hello);
    bare.run_to_the_end();
    assert_eq!(bare.rig.endings(), ["no-certificate"]);
}

#[test]
fn a_stalled_target_in_tls_holds_sealed_bytes_which_count_and_arrive() {
    let (server, client) = secured().tls.expect("it has some");
    for drains in [false, true] {
        let mut session = Session::open(SMOOTH, &Setup::default());
        let mut server = ServerConnection::new(Arc::clone(&server)).expect("a good configuration");
        session.rig.secure_target(&client, &mut server);
        session.rig.to_target.clear();
        session.rig.target.block_writes();
        session.pace.target_room = 0;
        let sent = pattern(3 * RING_BYTES);
        session.client_sends(&frame(BINARY, &sent));
        session.run();
        let held = session.rig.held_bytes();
        assert!(held > 0 && held <= RING_BYTES + UNREAD_MAX, "{held}");
        let (burden, _) = session.rig.burden().expect("sealed bytes are one");
        assert!(burden >= held);
        let stalled_in = session.rig.deadline().expect("its target is stalled");
        assert!(stalled_in < STALL);
        if drains {
            session.rig.drain(100 * STALL);
            session.rig.advance(STALL / 2);
            assert!(session.rig.is_alive(), "the client can't be heard as long as its target takes nothing");
        }
        session.pace.target_room = 10_000;
        session.run();
        let mut got = Vec::new();
        rig::accept(&mut server, &session.rig.to_target, &mut got);
        assert!(got == sent, "{} bytes arrived", got.len());
        assert_eq!(session.rig.held_bytes(), 0);
    }
}
