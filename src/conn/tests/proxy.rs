//! The PROXY header before anything else, header fields of proxies, and the header that a target gets.

use std::io::ErrorKind;

use super::wire::{BINARY, REQUEST, frame};
use super::*;
use crate::conn::frontend::{Proxies, RealIpHeader};
use crate::networks::Networks;
use crate::proxy::Version;

/// The rig's client, 127.0.0.1, is a trusted proxy, and 10.0.0.0/8 are others.
fn trusting(protocol: bool) -> Setup {
    let mut trusted = Networks::default();
    trusted.add("127.0.0.1").expect("an address");
    trusted.add("10.0.0.0/8").expect("a network");
    let header = Some(RealIpHeader::new("X-Forwarded-For"));
    Setup { proxies: Proxies { protocol, trusted, header, out: None }, ..Setup::default() }
}

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";

/// Version 2 with the same addresses, and `values` after them.
fn binary(values: &[u8]) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];
    let len = (addresses.len() + values.len()) as u16;
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &len.to_be_bytes()[..], &addresses, values].concat()
}

/// A request with these header lines besides its own.
fn request(headers: &str) -> Vec<u8> {
    let text = String::from_utf8(REQUEST.to_vec()).expect("ASCII");
    text.replacen("\r\n", &format!("\r\n{headers}"), 1).into_bytes()
}

/// What the log calls the client of a session that was asked for by `bytes`.
fn named(setup: &Setup, bytes: &[u8]) -> String {
    let mut session = Session::accepted(SMOOTH, setup);
    session.client_sends(bytes);
    session.run();
    let log = session.rig.take_log();
    let line = log.lines().find(|line| line.contains("WebSocket connection"));
    line.and_then(|line| line.split(' ').next()).unwrap_or_else(|| panic!("no session: {log}")).to_owned()
}

#[test]
fn a_header_and_a_request_are_found_wherever_they_are_cut() {
    for header in [LINE.to_vec(), binary(&[4, 0, 1, 0])] {
        let stream = [&header[..], REQUEST, &frame(BINARY, b"early")].concat();
        for cut in 0..=stream.len() {
            let mut session = Session::accepted(SMOOTH, &trusting(true));
            session.client_sends(&stream[..cut]);
            session.run();
            session.client_sends(&stream[cut..]);
            session.run();
            assert!(session.rig.dial(), "cut at {cut}");
            session.run();
            assert_eq!((session.received().status, &session.rig.to_target[..]), (Some(101), &b"early"[..]));
            let log = session.rig.take_log();
            assert!(log.contains("203.0.113.7: Plain non-SSL (ws://) WebSocket connection"), "{log}");
        }
    }
}

#[test]
fn a_header_comes_at_every_pace() {
    for pace in Pace::all() {
        let mut session = Session::accepted(pace, &trusting(true));
        session.client_sends(&[LINE, REQUEST].concat());
        session.run();
        assert_eq!(session.received().status, Some(101));
    }
}

#[test]
fn what_is_no_header_ends_the_connection_without_an_answer() {
    let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 107]].concat();
    for bytes in [REQUEST, b"\x16\x03\x01", &long, b"PROXY TCP4 x", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"] {
        let bytes = if bytes.ends_with(b"x") { [bytes, b"\r\n"].concat() } else { bytes.to_vec() };
        let mut session = Session::accepted(SMOOTH, &trusting(true));
        session.client_sends(&bytes);
        session.run_to_the_end();
        assert_eq!((session.rig.endings(), session.rig.to_client.len()), (vec!["bad-proxy-header"], 0));
        let log = session.rig.take_log();
        assert!(log.contains("127.0.0.1: no PROXY header that can be read: "), "{log}");
    }
}

#[test]
fn a_header_that_stops_is_told_and_a_connection_without_a_byte_is_a_probe() {
    for len in 0..LINE.len() {
        for step in [Step::Eof, Step::Error(ErrorKind::ConnectionReset)] {
            let mut session = Session::accepted(SMOOTH, &trusting(true));
            session.client_sends(&LINE[..len]);
            session.rig.client.read_step(step);
            session.run();
            let name = if len == 0 { "probe" } else { "bad-proxy-header" };
            assert_eq!((session.rig.endings(), session.rig.is_alive()), (vec![name], false), "{len}");
        }
    }
}

#[test]
fn a_header_has_5_seconds_however_it_drips() {
    let mut silent = Session::accepted(SMOOTH, &trusting(true));
    silent.run();
    silent.rig.advance(Duration::from_millis(4900));
    assert_eq!((silent.rig.state(), silent.rig.endings().len()), ("proxy", 0));
    silent.rig.advance(Duration::from_millis(200));
    assert_eq!(silent.rig.endings(), ["silent"]);
    let mut dripping = Session::accepted(SMOOTH, &trusting(true));
    for byte in &LINE[..4] {
        dripping.client_sends(&[*byte]);
        dripping.run();
        dripping.rig.advance(Duration::from_secs(1));
    }
    assert_eq!(dripping.rig.state(), "proxy");
    dripping.rig.advance(Duration::from_millis(1500));
    assert_eq!(dripping.rig.endings(), ["bad-proxy-header"]);
    // Behind the header the client has its own time.
    let mut slow = Session::accepted(SMOOTH, &trusting(true));
    slow.rig.advance(Duration::from_millis(4900));
    slow.client_sends(LINE);
    slow.run();
    slow.rig.advance(Duration::from_secs(9));
    assert_eq!((slow.rig.state(), slow.rig.endings().len()), ("sniff", 0));
}

#[test]
fn local_and_unknown_headers_keep_the_address_of_the_socket() {
    for header in
        [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"]
    {
        assert_eq!(named(&trusting(true), &[header, REQUEST].concat()), "127.0.0.1");
    }
}

#[test]
fn who_is_not_trusted_gets_400_for_a_header_and_is_served_without_one() {
    let mut setup = trusting(true);
    setup.proxies.trusted = Networks::default();
    setup.proxies.trusted.add("10.0.0.0/8").expect("a network");
    for header in [LINE, &binary(&[]), b"PROXY UNKNOWN\r\n"] {
        let mut session = Session::accepted(SMOOTH, &setup);
        session.client_sends(&[header, REQUEST].concat());
        session.run_to_the_end();
        assert_eq!((session.received().status, session.rig.endings()), (Some(400), vec!["refused"]));
    }
    assert_eq!(named(&setup, &request("X-Forwarded-For: 203.0.113.9\r\n")), "127.0.0.1");
    // Nor is a header a duty without the option.
    let mut session = Session::accepted(SMOOTH, &trusting(false));
    session.client_sends(&[LINE, REQUEST].concat());
    session.run_to_the_end();
    assert_eq!(session.received().status, Some(400));
}

#[test]
fn a_header_field_counts_if_the_one_behind_the_proxy_header_is_trusted_too() {
    let claim = request("X-Forwarded-For: 1.2.3.4, 203.0.113.9\r\n");
    assert_eq!(named(&trusting(false), &claim), "203.0.113.9");
    assert_eq!(named(&trusting(true), &[LINE, &claim].concat()), "203.0.113.7", "a client's own claim");
    let by_proxy = b"PROXY TCP4 10.0.0.9 192.0.2.1 4711 443\r\n";
    assert_eq!(named(&trusting(true), &[by_proxy, &claim[..]].concat()), "203.0.113.9");
    assert_eq!(named(&trusting(true), &[by_proxy, REQUEST].concat()), "10.0.0.9");
    assert_eq!(named(&trusting(true), &[b"PROXY UNKNOWN\r\n", &claim[..]].concat()), "203.0.113.9");
    let mut none = trusting(false);
    none.proxies.header = None;
    assert_eq!(named(&none, &claim), "127.0.0.1");
    none.proxies.header = Some(RealIpHeader::new("x-real-ip"));
    assert_eq!(
        named(&none, &request("X-Real-IP: 2001:db8::9\r\nX-Forwarded-For: 1.2.3.4\r\n")),
        "2001:db8::9"
    );
    none.proxies.header = Some(RealIpHeader::new("Forwarded"));
    assert_eq!(named(&none, &request("Forwarded: for=\"[2001:db8::9]:1\";proto=https\r\n")), "2001:db8::9");
}

#[test]
fn each_request_of_a_kept_connection_is_the_one_of_its_own_client() {
    let setup = trusting(false);
    let ask = |address: &str| format!("GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {address}\r\n\r\n");
    let scratch = crate::source::scratch::Scratch::new();
    scratch.file("x", "x");
    let mut session = Session::accepted(SMOOTH, &Setup { web: Some(scratch.dir().to_owned()), ..setup });
    for (address, name) in
        [("203.0.113.1", "203.0.113.1"), ("203.0.113.2", "203.0.113.2"), ("unknown", "127.0.0.1")]
    {
        session.client_sends(ask(address).as_bytes());
        session.run();
        while session.rig.is_asking() {
            session.rig.answer_from_helper();
            session.run();
        }
        let log = session.rig.take_log();
        assert!(log.lines().any(|line| line.starts_with(name) && line.contains("\"GET /x")), "{name}: {log}");
    }
}

/// What a target is sent first for the session that `bytes` ask for.
fn announced(version: Version, bytes: &[u8], pace: Pace) -> Vec<u8> {
    let mut setup = trusting(true);
    setup.proxies.out = Some(version);
    let mut session = Session::accepted(pace, &setup);
    session.client_sends(bytes);
    session.run();
    assert!(session.rig.dial());
    session.run();
    session.client_sends(&frame(BINARY, b"data"));
    session.run();
    session.rig.to_target.clone()
}

#[test]
fn a_target_is_told_the_client_before_its_data_at_every_pace() {
    for pace in Pace::all() {
        let told = announced(Version::V1, &[LINE, REQUEST].concat(), pace);
        assert_eq!(told, [LINE, b"data"].concat(), "{pace:?}");
    }
    let told = announced(Version::V2, &[&binary(&[])[..], REQUEST].concat(), SMOOTH);
    let (proxied, len) = crate::proxy::read(&told).expect("in order").expect("whole");
    assert_eq!(proxied.addresses.expect("it has some").source.to_string(), "203.0.113.7:4711");
    assert!(proxied.authority.is_some() && told[len..] == *b"data");
    let local = announced(Version::V1, &[b"PROXY UNKNOWN\r\n", REQUEST].concat(), SMOOTH);
    assert_eq!(local, b"PROXY UNKNOWN\r\ndata", "the rig's client has no socket with an address");
}

#[test]
fn a_target_is_told_the_name_that_the_session_has_in_every_line_of_the_log() {
    let field = request("X-Forwarded-For: 203.0.113.9\r\n");
    for (stream, via) in [
        (&[&binary(&[])[..], REQUEST].concat(), "proxy-protocol"),
        (&[&binary(&[])[..], &field].concat(), "proxy-protocol"),
        (&[b"PROXY UNKNOWN\r\n", &field[..]].concat(), "header"),
        (&[b"PROXY UNKNOWN\r\n", REQUEST].concat(), "direct"),
    ] {
        let mut setup = Setup { json: true, ..trusting(true) };
        setup.proxies.out = Some(Version::V2);
        let mut session = Session::accepted(SMOOTH, &setup);
        session.client_sends(stream);
        session.run();
        assert!(session.rig.dial());
        session.run();
        let told = unique_id(&session.rig.to_target);
        session.client_closes(1000, "");
        session.run_to_the_end();
        let lines = session.rig.take_log() + &session.rig.take_access_log();
        let objects =
            lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let mut events = Vec::new();
        for object in objects.filter(|object| !object["session.id"].is_null()) {
            assert_eq!(object["session.id"], told, "{object}");
            assert_eq!(object["via"], via, "{object}");
            events.push(object["event"].as_str().expect("a text").to_owned());
        }
        for event in ["session.start", "session.connecting", "session.connected", "session.end"] {
            let count = events.iter().filter(|name| *name == event).count();
            assert_eq!(count, if event == "session.end" { 2 } else { 1 }, "{event}: {events:?}");
        }
    }
}

/// The value of type 5 in a PROXY header of version 2, read by the specification's section 2.2.
fn unique_id(header: &[u8]) -> String {
    let addresses = match header[13] >> 4 {
        0 => 0,
        1 => 12,
        family => panic!("family {family}"),
    };
    let end = 16 + usize::from(u16::from_be_bytes([header[14], header[15]]));
    let mut values = &header[16 + addresses..end];
    loop {
        let length = usize::from(u16::from_be_bytes([values[1], values[2]]));
        let (value, rest) = values[3..].split_at(length);
        if values[0] == 5 {
            return String::from_utf8(value.to_vec()).expect("ASCII");
        }
        values = rest;
    }
}
