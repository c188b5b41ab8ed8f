//! From the first byte to the 101 or a refusal, however the bytes come.

use std::io::ErrorKind;

use super::wire::{BINARY, REQUEST, frame};
use super::*;

/// Sends `bytes` to a new connection, at every pace, and ends it: what was answered, and how it ended.
fn answer(bytes: &[u8], setup: &Setup) -> (Option<u16>, Vec<&'static str>) {
    let mut answers = Pace::all().map(|pace| {
        let mut session = Session::accepted(pace, setup);
        session.client_sends(bytes);
        session.run_to_the_end();
        assert!(session.rig.to_target.is_empty(), "a target was touched");
        (session.received().status, session.rig.endings())
    });
    let first = answers.next().expect("there are paces");
    answers.for_each(|answer| assert_eq!(answer, first, "it depends on the pace"));
    first
}

#[test]
fn a_first_byte_of_tls_ends_the_connection_for_want_of_a_certificate() {
    for first in [0x16, 0x80] {
        assert_eq!(answer(&[first, 3, 1, 0, 5], &Setup::default()), (None, vec!["no-certificate"]));
    }
}

#[test]
fn a_client_that_sends_nothing_and_leaves_is_a_probe() {
    for step in [Step::Eof, Step::Error(ErrorKind::ConnectionReset)] {
        let mut session = Session::accepted(SMOOTH, &Setup::default());
        session.rig.client.read_step(step);
        session.run();
        assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["probe"], false));
    }
}

#[test]
fn a_request_that_stops_is_dropped_without_an_answer_wherever_it_stops() {
    for len in 1..REQUEST.len() {
        for (step, name) in
            [(Step::Eof, "half-request"), (Step::Error(ErrorKind::ConnectionReset), "client-reset")]
        {
            let mut session = Session::accepted(SMOOTH, &Setup::default());
            session.client_sends(&REQUEST[..len]);
            session.rig.client.read_step(step);
            session.run();
            assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec![name], false));
            assert!(session.rig.to_client.is_empty());
        }
    }
}

#[test]
fn frames_in_the_packet_of_the_request_reach_the_target_however_it_is_cut() {
    let stream = [REQUEST, &frame(BINARY, b"early "), &frame(BINARY, b"bird")].concat();
    for cut in 0..=stream.len() {
        let mut session = Session::accepted(SMOOTH, &Setup::default());
        session.client_sends(&stream[..cut]);
        session.run();
        session.client_sends(&stream[cut..]);
        session.run();
        assert!(session.rig.dial());
        session.run();
        assert_eq!(session.rig.to_target, b"early bird", "cut at {cut}");
    }
}

#[test]
fn frames_that_come_while_the_target_is_dialled_reach_it_in_order_at_every_pace() {
    for pace in Pace::all() {
        let mut session = Session::accepted(pace, &Setup::default());
        session.client_sends(&[REQUEST, &frame(BINARY, b"one ")].concat());
        session.run();
        session.client_sends(&frame(BINARY, b"two "));
        session.run();
        assert!(session.rig.dial());
        session.client_sends(&frame(BINARY, b"three"));
        session.run();
        assert_eq!(
            (session.received().status, &session.rig.to_target[..]),
            (Some(101), &b"one two three"[..])
        );
    }
}

#[test]
fn a_close_that_comes_while_the_target_is_dialled_is_obeyed_behind_the_data() {
    for pace in Pace::all() {
        let mut session = Session::accepted(pace, &Setup::default());
        session.client_sends(&[REQUEST, &frame(BINARY, b"never mind")].concat());
        session.client_closes(1000, "");
        session.run();
        assert!(session.rig.dial());
        session.run_to_the_end();
        assert_eq!(session.rig.to_target, b"never mind");
        assert_eq!(
            (session.received().close, session.rig.endings()),
            (Some((Some(1000), String::new())), vec!["client-closed"],)
        );
    }
}

#[test]
fn what_is_no_upgrade_is_refused_with_its_status() {
    let without = |line: &str| {
        let request = String::from_utf8_lossy(REQUEST).into_owned();
        assert!(request.contains(line));
        request.replace(line, "")
    };
    let table = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405),
        (without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        (without("Host: gateway\r\n"), 400),
        (without("Upgrade: websocket\r\n"), 426),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".into(), 400),
        (String::from_utf8_lossy(REQUEST).replace("Version: 13", "Version: 12"), 426),
        (String::from_utf8_lossy(REQUEST).replace("GET", "PUT"), 405),
        ("\x01\x02\x03\x04".into(), 400),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(66_000)), 414),
        (format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(200)), 431),
        (format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(132_000)), 431),
    ];
    for (request, status) in table {
        let mut session = Session::accepted(SMOOTH, &Setup::default());
        session.client_sends(request.as_bytes());
        session.run_to_the_end();
        assert_eq!((session.received().status, session.rig.endings()), (Some(status), vec!["refused"]));
        if request.len() < 1000 {
            assert_eq!(answer(request.as_bytes(), &Setup::default()), (Some(status), vec!["refused"]));
        }
    }
}

#[test]
fn heads_of_kerberos_and_long_tokens_are_read_whole() {
    let long = [
        String::from_utf8_lossy(REQUEST)
            .replace("\r\n\r\n", &format!("\r\nAuthorization: Negotiate {}\r\n\r\n", "a".repeat(64 << 10))),
        String::from_utf8_lossy(REQUEST).replace("/websockify", &format!("/?token={}", "a".repeat(65_500))),
    ];
    for request in long {
        for read in [1000, ALL] {
            let mut session = Session::accepted(Pace { read, ..SMOOTH }, &Setup::default());
            session.client_sends(request.as_bytes());
            session.run();
            assert_eq!((session.received().status, session.rig.state()), (Some(101), "connect"));
        }
    }
}

#[test]
fn health_checks_are_answered_and_are_no_refusals() {
    for request in [
        "OPTIONS / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS /any?x HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(answer(request.as_bytes(), &Setup::default()), (Some(204), vec!["served"]), "{request}");
        let mut session = Session::accepted(SMOOTH, &Setup::default());
        session.client_sends(request.as_bytes());
        session.run_to_the_end();
        let got = String::from_utf8_lossy(&session.rig.to_client).into_owned();
        assert!(got.contains("\r\nAllow: GET, OPTIONS\r\n") && got.ends_with("\r\n\r\n"), "{got}");
        assert!(!got.contains("Content-"), "{got}");
    }
}

#[test]
fn a_client_for_whom_there_is_no_room_is_told_so() {
    let setup = Setup { admitted: false, ..Setup::default() };
    assert_eq!(answer(REQUEST, &setup), (Some(503), vec!["full"]));
    assert_eq!(answer(&[0x16, 3, 1], &setup), (None, vec!["full"]));
}

#[test]
fn a_second_session_of_run_once_is_refused() {
    let setup = Setup { once: Some(true), ..Setup::default() };
    assert_eq!(answer(REQUEST, &setup), (Some(503), vec!["refused"]));
}

#[test]
fn a_client_that_leaves_while_its_refusal_is_written_is_counted_once() {
    let mut session = Session::accepted(Pace { client_room: 0, ..SMOOTH }, &Setup::default());
    session.client_sends(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    session.run();
    assert_eq!(session.rig.state(), "reply");
    session.rig.client.reset(ErrorKind::ConnectionReset);
    session.rig.note(Side::Client, true, true, true);
    session.run();
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["refused"], false));
}

#[test]
fn a_client_that_resets_while_its_target_is_dialled_ends_the_dial() {
    let mut session = Session::accepted(SMOOTH, &Setup::default());
    session.client_sends(REQUEST);
    session.run();
    assert!(session.rig.dial());
    session.rig.settle();
    assert_eq!(session.rig.state(), "connect");
    session.rig.client.reset(ErrorKind::ConnectionReset);
    session.rig.note(Side::Client, true, true, true);
    session.rig.settle();
    assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec!["client-reset"], false));
    assert!(session.rig.target.is_dropped());
}
