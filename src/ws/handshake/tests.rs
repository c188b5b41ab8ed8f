//! The handshake as a table: one good request, and what each change to it leads to.

use super::*;

const GOOD: &str = "GET /chat HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    \r\n";

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn checked(head: &str) -> Result<Upgrade, Refusal> {
    check(&Request::parse(head.as_bytes()).expect("the head is well-formed"))
}

/// The good request with `from` replaced by `to`.
fn changed(from: &str, to: &str) -> Result<Upgrade, Refusal> {
    assert!(GOOD.contains(from), "{from:?} is in the request");
    checked(&GOOD.replace(from, to))
}

/// The good request with further header lines.
fn with(lines: &str) -> Result<Upgrade, Refusal> {
    changed("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"))
}

#[test]
fn the_example_of_the_rfc_is_answered_as_there() {
    let upgrade = checked(GOOD).expect("it is valid");
    assert_eq!(&upgrade.accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((upgrade.binary, upgrade.hint), (false, None));
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        \r\n";
    assert_eq!(upgrade.response(None), expected.as_bytes());
}

#[test]
fn an_independent_implementation_derives_the_same_proof() {
    for key in [
        "!",
        "MTIzNDU2Nzg5MDEyMzQ1Njc=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "AQIDBAUGBwgJCgsMDQ4PEC==",
        "x3JJHMbDL1EzLkh9GBhXDw==",
        "+/+/+/+/+/+/+/+/+/+/+w==",
    ] {
        let upgrade = changed("dGhlIHNhbXBsZSBub25jZQ==", key).expect("the key is valid");
        assert_eq!(
            upgrade.accept,
            tungstenite::handshake::derive_accept_key(key.as_bytes()).as_bytes(),
            "{key}"
        );
    }
}

#[test]
fn binary_is_answered_only_when_it_was_offered() {
    let table = [
        ("Sec-WebSocket-Protocol: binary", true),
        ("Sec-WebSocket-Protocol: base64,\t binary ", true),
        ("Sec-WebSocket-Protocol: base64\r\nSec-WebSocket-Protocol: binary", true),
        ("Sec-WebSocket-Protocol: Binary", false),
        ("Sec-WebSocket-Protocol: binary2, chat", false),
        ("Sec-WebSocket-Protocol:", false),
    ];
    for (lines, binary) in table {
        let upgrade = with(lines).expect("offers never refuse a handshake");
        assert_eq!(upgrade.binary, binary, "{lines}");
        let answer = String::from_utf8(upgrade.response(None)).expect("an answer is text");
        assert_eq!(answer.contains("\r\nSec-WebSocket-Protocol: binary\r\n\r\n"), binary);
    }
}

#[test]
fn what_the_field_gets_wrong_is_accepted_with_a_hint() {
    let table = [
        (changed("Connection: Upgrade", "Connection: close"), Hint::NoConnectionUpgrade),
        (changed("Connection: Upgrade", "X: y"), Hint::NoConnectionUpgrade),
        (changed("HTTP/1.1", "HTTP/1.0"), Hint::Http10),
        (checked(&GOOD.replace("HTTP/1.1\r\nHost: server.example.com", "HTTP/1.0")), Hint::Http10),
        (changed("Version: 13", "Version: 8"), Hint::Draft(8)),
        (changed("Version: 13", "Version: 7"), Hint::Draft(7)),
        (changed(KEY, "dGhlIHNhbXBsZSBub25jZQ"), Hint::OddKey),
        (changed(KEY, "MTIzNDU2Nzg5MDEyMzQ1Njc="), Hint::OddKey),
        (changed(KEY, "dGhlIHNhbXBsZSBub25j-Q=="), Hint::OddKey),
        (changed(KEY, "1"), Hint::OddKey),
        (changed(KEY, &"~".repeat(KEY_MAX)), Hint::OddKey),
    ];
    for (upgrade, hint) in table {
        assert_eq!(upgrade.map(|upgrade| upgrade.hint), Ok(Some(hint)));
        assert!(!hint.to_string().contains('\n'));
    }
}

#[test]
fn what_is_harmless_is_accepted_without_a_word() {
    let upgrades = [
        changed("Upgrade: websocket", "Upgrade: WebSocket"),
        changed("Upgrade: websocket", "UPGRADE:h2c, websocket"),
        changed("Connection: Upgrade", "Connection: keep-alive, upgrade"),
        changed("Host: server.example.com", "Host:"),
        changed("/chat", "http://server.example.com/chat"),
        with("Content-Length: 0"),
        with("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        with("Origin: null"),
    ];
    for (at, upgrade) in upgrades.into_iter().enumerate() {
        assert_eq!(upgrade.map(|upgrade| upgrade.hint), Ok(None), "row {at}");
    }
}

#[test]
fn everything_else_is_refused_with_its_status() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let table = [
        (changed("GET", "POST"), 405),
        (changed("GET", "get"), 405),
        (changed("Upgrade: websocket\r\n", ""), 400),
        (changed("Host: server.example.com\r\n", ""), 400),
        (with("Host: another"), 400),
        (changed(key, "X: y"), 400),
        (with(key), 400),
        (changed("dGhlIHNhbXBsZSBub25jZQ==", ""), 400),
        (changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs ZSBub25jZQ"), 400),
        (changed("dGhlIHNhbXBsZSBub25jZQ==", "sch\u{f6}n"), 400),
        (changed("dGhlIHNhbXBsZSBub25jZQ==", &"a".repeat(KEY_MAX + 1)), 400),
        (with("Host: a/b"), 400),
        (changed("Sec-WebSocket-Version: 13", "X: y"), 400),
        (with("Sec-WebSocket-Version: 13"), 400),
        (changed("Version: 13", "Version: 14"), 426),
        (changed("Version: 13", "Version: 0x0d"), 426),
        (changed("Version: 13", "Version:"), 426),
        (with("Content-Length: 5"), 400),
        (with("Content-Length: 0\r\nContent-Length: 5"), 400),
        (with("Content-Length: -0"), 400),
        (with("Transfer-Encoding: chunked"), 400),
    ];
    for (at, (answer, status)) in table.into_iter().enumerate() {
        assert_eq!(answer.map_err(|refusal| refusal.status.0), Err(status), "row {at}");
    }
}

#[test]
fn a_handshake_that_has_lost_its_upgrade_is_told_so() {
    let lost = |head: &str| {
        lost_upgrade(&Request::parse(head.as_bytes()).expect("well-formed")).map(|refusal| refusal.status.0)
    };
    for head in [
        GOOD.replace("Upgrade: websocket\r\n", ""),
        GOOD.replace("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
        GOOD.replace("Upgrade: websocket\r\nConnection: Upgrade\r\n", "Connection: close\r\n"),
        GOOD.replace("Upgrade: websocket\r\n", "").replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""),
    ] {
        assert_eq!(lost(&head), Some(426), "{head}");
    }
    assert_eq!(lost(GOOD), None);
    assert_eq!(lost("GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Protocol: binary\r\n\r\n"), None);
}

#[test]
fn offers_of_other_sub_protocols_are_named_and_no_token_among_them() {
    let foreign = |value: &str| {
        let head = GOOD.replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Protocol: {value}\r\n\r\n"));
        foreign_protocols(&Request::parse(head.as_bytes()).expect("well-formed"))
    };
    for (value, expected) in [
        ("base64", Some("'base64'")),
        ("wamp.2.json, v12.stomp", Some("'wamp.2.json', 'v12.stomp'")),
        ("a, b, c, d, e", Some("'a', 'b', 'c', 'd', ...")),
        ("base64url.bearer.authorization.k8s.io.c2VjcmV0LXRva2Vu", Some("'***'")),
        ("token, eyJhbGciOiJIUzI1NiJ9.e30.c2ln", Some("'token', '***'")),
        ("s3cr3t9x8", Some("'***'")),
        ("\u{202e}x", Some("'***'")),
        ("base64, binary", None),
        ("binary", None),
        ("", None),
    ] {
        assert_eq!(foreign(value).as_deref(), expected, "{value}");
    }
    assert_eq!(foreign_protocols(&Request::parse(GOOD.as_bytes()).expect("well-formed")), None);
}

#[test]
fn a_refusal_says_what_would_be_accepted() {
    let version = changed("Version: 13", "Version: 25").expect_err("no such version");
    assert!(version.headers.contains(&("Sec-WebSocket-Version".into(), "13".into())));
    assert!(version.headers.contains(&("Upgrade".into(), "websocket".into())));
    let method = changed("GET", "PUT").expect_err("a wrong method");
    assert_eq!(method.headers, [("Allow".into(), "GET".into())]);
}

#[test]
fn a_key_of_any_digits_of_base64_is_no_oddity() {
    for key in ["+/IzNDU2Nzg5MDEyMzQ1Ng==", "////////////////////////".replace("//////", "++++//").as_str()] {
        let upgrade = changed(KEY, &format!("{}==", &key[..22])).expect("it is accepted");
        assert_eq!(upgrade.hint, None, "{key}");
    }
}

#[test]
fn each_kind_of_oddity_has_a_bit_and_a_line_of_its_own() {
    let hints = [Hint::Http10, Hint::NoConnectionUpgrade, Hint::Draft(7), Hint::OddKey];
    assert!(hints.iter().all(|hint| hint.bit().count_ones() == 1));
    assert_eq!(hints.iter().fold(0, |bits, hint| bits | hint.bit()).count_ones(), 4);
    assert_eq!(Hint::Draft(7).bit(), Hint::Draft(8).bit());
    for (hint, about) in
        hints.iter().zip(["HTTP/1.0", "Connection: Upgrade", "version 7", "Sec-WebSocket-Key"])
    {
        assert!(hint.to_string().contains(about), "{hint}");
    }
}
