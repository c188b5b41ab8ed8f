//! The opening handshake (RFC 6455 section 4.2) as clients and proxies in the field send it, and the
//! answers to what is none. A refused or unfinished request never touches the target.

use super::Server;
use crate::common::client::{ACCEPT, Answer, Client, UPGRADE};
use crate::common::eventually;
use crate::common::frame::{Frame, PING, PONG};
use crate::common::target::{DeafTarget, Target};

/// A request line and headers, joined as HTTP wants it.
fn request(lines: &[&str]) -> String {
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

const GET: &str = "GET /websockify HTTP/1.1";
const HOST: &str = "Host: localhost:6080";
const UPGRADE_TO: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "Sec-WebSocket-Version: 13";

/// Sends each request on a connection of its own, expects its status, an orderly end, and a target that
/// nobody has dialled until an ordinary session comes.
fn are_refused(rows: &[(&str, u16, String)]) -> Vec<Answer> {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut answers = Vec::new();
    for (name, status, bytes) in rows {
        let mut client = Client::connect(&server);
        client.wire.send(bytes.as_bytes());
        let answer = client.read_answer_to_end();
        assert_eq!(answer.status, *status, "{name}: {answer:?}");
        assert!(!answer.reason.is_empty(), "{name}: {answer:?}");
        let connection = answer.header("connection").unwrap_or_default();
        assert!(connection.split(", ").any(|token| token == "close"), "{name}: {answer:?}");
        if !bytes.starts_with("HEAD") {
            let length = answer.header("content-length").and_then(|value| value.parse().ok());
            assert_eq!(length, Some(answer.body.len()), "{name}: {answer:?}");
            assert!(!answer.body.trim().is_empty(), "{name}: a refusal says why");
        }
        answers.push(answer);
    }
    is_untouched(&server, &target);
    answers
}

/// Opens an ordinary session and expects it to be the first that the target sees.
fn is_untouched(server: &Server, target: &Target) {
    let mut client = Client::open(server);
    client.send_binary(b"the first of all");
    assert_eq!(target.accept().read_exactly(16), b"the first of all");
    assert!(target.is_untouched(), "the target was dialled more than once");
}

#[test]
fn what_is_no_websocket_request_gets_its_status_and_a_reason() {
    let full = [HOST, UPGRADE_TO, CONNECTION, KEY, VERSION];
    let with = |first: &str, skip: &str, more: &[&str]| {
        let kept = full.iter().copied().filter(|line| *line != skip);
        let lines: Vec<&str> = std::iter::once(first).chain(kept).chain(more.iter().copied()).collect();
        request(&lines)
    };
    let key = |value: &str| with(GET, KEY, &[&format!("Sec-WebSocket-Key: {value}")]);
    let version = |value: &str| with(GET, VERSION, &[&format!("Sec-WebSocket-Version: {value}")]);
    let rows = [
        ("no key", 400, with(GET, KEY, &[])),
        ("an empty key", 400, key("")),
        ("a key with a blank", 400, key("MTIzNDU2 Nzg5MDEyMzQ1")),
        ("a key of 129 bytes", 400, key(&"a".repeat(129))),
        ("no version", 400, with(GET, VERSION, &[])),
        ("version 12", 426, version("12")),
        ("version 0", 426, version("0")),
        ("version 14", 426, version("14")),
        ("no Host in HTTP/1.1", 400, with(GET, HOST, &[])),
        ("a POST", 405, with("POST /websockify HTTP/1.1", "", &[])),
        ("a PUT", 405, with("PUT / HTTP/1.1", "", &[])),
        ("another protocol", 426, with(GET, UPGRADE_TO, &["Upgrade: h2c"])),
        ("no Upgrade", 426, with(GET, UPGRADE_TO, &[])),
    ];
    let answers = are_refused(&rows);
    for ((name, status, _), answer) in rows.iter().zip(&answers) {
        let offered = answer.header("sec-websocket-version");
        assert_eq!(offered, (*status == 426).then_some("13"), "{name}: {answer:?}");
    }
}

#[test]
fn plain_requests_get_405_while_there_is_no_web_server() {
    let rows = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
        .map(|method| (method, 405, format!("{method} /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n")));
    for answer in are_refused(&rows) {
        assert_eq!(answer.reason, "Method Not Allowed");
        assert_eq!(answer.header("allow"), Some("GET, OPTIONS"));
        assert_eq!(answer.header("server"), Some("websockify"));
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{answer:?}");
    }
}

#[test]
fn garbage_instead_of_a_request_is_400() {
    let rows = [
        ("words", "hello there\r\n\r\n"),
        ("no version", "GET /\r\nHost: localhost\r\n\r\n"),
        ("a header without a colon", "GET / HTTP/1.1\r\nHost localhost\r\n\r\n"),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n"),
        ("a NUL in a header", "GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n"),
        ("a VNC greeting", "RFB 003.008\nGET / HTTP/1.1\r\n\r\n"),
    ]
    .map(|(name, bytes)| (name, 400, bytes.to_owned()));
    are_refused(&rows);
}

#[test]
fn another_version_of_http_is_505() {
    let rows = ["HTTP/2.0", "HTTP/0.9", "HTTP/3"]
        .map(|version| (version, 505, format!("GET / {version}\r\nHost: localhost\r\n\r\n")));
    are_refused(&rows);
}

#[test]
fn a_request_line_over_the_limit_is_414() {
    let line = format!("GET /{} HTTP/1.1", "x".repeat(140_000));
    are_refused(&[("a long line", 414, request(&[&line, HOST, UPGRADE_TO, CONNECTION, KEY, VERSION]))]);
}

#[test]
fn a_request_line_without_an_end_is_414_before_it_ends() {
    are_refused(&[("no end", 414, format!("GET /{}", "x".repeat(200_000)))]);
}

#[test]
fn headers_over_the_limit_are_431() {
    let long = format!("X-Filler: {}", "x".repeat(140_000));
    let many: Vec<String> = (0..101).map(|number| format!("X-Filler-{number}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let base = [GET, HOST, UPGRADE_TO, CONNECTION, KEY, VERSION];
    are_refused(&[
        ("one long header", 431, request(&[&base[..], &[long.as_str()]].concat())),
        ("101 more headers", 431, request(&[&base[..], &many[..]].concat())),
        ("a header without an end", 431, format!("{GET}\r\n{HOST}\r\nX-Filler: {}", "x".repeat(200_000))),
    ]);
}

#[test]
fn proxies_and_old_clients_are_let_in() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let rows: &[(&str, &[&str])] = &[
        ("as the RFC has it", &[GET, HOST, UPGRADE_TO, CONNECTION, KEY, VERSION]),
        ("version 8", &[GET, HOST, UPGRADE_TO, CONNECTION, KEY, "Sec-WebSocket-Version: 8"]),
        ("version 7", &[GET, HOST, UPGRADE_TO, CONNECTION, KEY, "Sec-WebSocket-Version: 7"]),
        (
            "HTTP/1.0 through a proxy",
            &["GET / HTTP/1.0", HOST, UPGRADE_TO, "Connection: close", KEY, VERSION],
        ),
        ("HTTP/1.0 without Host", &["GET / HTTP/1.0", UPGRADE_TO, CONNECTION, KEY, VERSION]),
        ("Connection: close", &[GET, HOST, UPGRADE_TO, "Connection: close", KEY, VERSION]),
        ("no Connection at all", &[GET, HOST, UPGRADE_TO, KEY, VERSION]),
        ("Firefox's list", &[GET, HOST, UPGRADE_TO, "Connection: keep-alive, Upgrade", KEY, VERSION]),
        ("other cases", &[GET, HOST, "UPGRADE: WebSocket", "cOnNection: uPGRADE", KEY, VERSION]),
        ("a list of protocols", &[GET, HOST, "Upgrade: h2c, websocket", CONNECTION, KEY, VERSION]),
        (
            "white space around values",
            &[GET, "Host:\tlocalhost  ", "Upgrade:websocket\t ", CONNECTION, KEY, VERSION],
        ),
        (
            "a deep path with a query",
            &["GET /a/b%20c?token=x&y=/../z HTTP/1.1", HOST, UPGRADE_TO, CONNECTION, KEY, VERSION],
        ),
        (
            "a compression offer",
            &[
                GET,
                HOST,
                UPGRADE_TO,
                CONNECTION,
                KEY,
                VERSION,
                "Sec-WebSocket-Extensions: permessage-deflate",
            ],
        ),
        (
            "a foreign origin",
            &[GET, HOST, UPGRADE_TO, CONNECTION, KEY, VERSION, "Origin: http://elsewhere.example"],
        ),
    ];
    for (name, lines) in rows {
        let mut client = Client::connect(&server);
        let answer = client.ask(request(lines).as_bytes());
        assert_eq!(answer.status, 101, "{name}: {answer:?}");
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT), "{name}");
        assert_eq!(
            answer.header("upgrade").map(str::to_ascii_lowercase).as_deref(),
            Some("websocket"),
            "{name}"
        );
        assert_eq!(
            answer.header("connection").map(str::to_ascii_lowercase).as_deref(),
            Some("upgrade"),
            "{name}"
        );
        assert_eq!(answer.header("sec-websocket-extensions"), None, "{name}");
        assert_eq!(answer.header("sec-websocket-protocol"), None, "{name}");
        client.send_binary(name.as_bytes());
        assert_eq!(target.accept().read_exactly(name.len()), name.as_bytes());
    }
}

#[test]
fn the_subprotocol_binary_is_answered_where_it_was_offered() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let rows: &[(&[&str], Option<&str>)] = &[
        (&["Sec-WebSocket-Protocol: binary"], Some("binary")),
        (&["Sec-WebSocket-Protocol: binary, base64"], Some("binary")),
        (&["Sec-WebSocket-Protocol: base64,\t binary \t,chat"], Some("binary")),
        (&["Sec-WebSocket-Protocol: chat", "sec-websocket-protocol: binary"], Some("binary")),
        (&["Sec-WebSocket-Protocol: base64"], None),
        (&["Sec-WebSocket-Protocol: binary2"], None),
        (&["Sec-WebSocket-Protocol: "], None),
        (&[], None),
    ];
    for (offers, expected) in rows {
        let mut client = Client::connect(&server);
        let lines = [&[GET, HOST, UPGRADE_TO, CONNECTION, KEY, VERSION], *offers].concat();
        let answer = client.ask(request(&lines).as_bytes());
        assert_eq!(answer.status, 101, "{offers:?}: {answer:?}");
        assert_eq!(answer.header("sec-websocket-protocol"), *expected, "{offers:?}");
    }
}

#[test]
fn a_request_delivered_byte_by_byte_is_understood() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect(&server);
    for byte in UPGRADE.bytes() {
        client.wire.send(&[byte]);
    }
    assert_eq!(client.read_head().status, 101);
    client.send_binary(b"here");
    assert_eq!(target.accept().read_exactly(4), b"here");
}

#[test]
fn a_request_cut_anywhere_is_understood() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    for cut in 1..UPGRADE.len() {
        let mut client = Client::connect(&server);
        client.wire.send(&UPGRADE.as_bytes()[..cut]);
        client.wire.send(&UPGRADE.as_bytes()[cut..]);
        assert_eq!(client.read_head().status, 101, "cut at {cut}");
        client.wire.reset();
    }
}

#[test]
fn an_unfinished_request_never_touches_the_target() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let cuts = [1, 16, UPGRADE.len() - 4, UPGRADE.len() - 1];
    let _waiting: Vec<Client> = cuts
        .iter()
        .map(|&cut| {
            let mut client = Client::connect(&server);
            client.wire.send(&UPGRADE.as_bytes()[..cut]);
            client
        })
        .collect();
    for cut in cuts {
        let mut client = Client::connect(&server);
        client.wire.send(&UPGRADE.as_bytes()[..cut]);
        client.wire.finish();
        client.wire.wait_until_gone();
    }
    Client::connect(&server).wire.finish();
    Client::connect(&server).wire.reset();
    is_untouched(&server, &target);
}

#[test]
fn a_request_body_is_never_taken_for_frames() {
    let evil = Frame::binary(b"evil").bytes();
    let length = format!("Content-Length: {}", evil.len());
    let chunked = [format!("{:x}\r\n", evil.len()).as_bytes(), &evil, b"\r\n0\r\n\r\n"].concat();
    let rows = [("a length", length.as_str(), &evil), ("chunks", "Transfer-Encoding: chunked", &chunked)];
    for (name, header, body) in rows {
        let target = Target::tcp();
        let server = Server::relay(&target.address);
        let mut client = Client::connect(&server);
        let head = request(&[GET, HOST, UPGRADE_TO, CONNECTION, KEY, VERSION, header]);
        let answer = client.ask(&[head.as_bytes(), body].concat());
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        client.wire.wait_until_gone();
        is_untouched(&server, &target);
    }
}

#[test]
fn a_second_request_behind_an_upgrade_is_never_taken_for_frames() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect(&server);
    client.wire.send(&[UPGRADE.as_bytes(), UPGRADE.as_bytes()].concat());
    assert_eq!(client.read_head().status, 101);
    // A letter G is a frame with a reserved bit and a reserved opcode.
    assert_eq!(client.closed().0, Some(1002));
    assert!(target.is_untouched());
}

#[test]
fn the_101_comes_before_the_target_answers() {
    let target = DeafTarget::new();
    let server = Server::relay(target.address());
    let mut client = Client::open(&server);
    server.log.wait_for("connecting to: ");
    client.send_binary(b"are you there");
    let (mut wire, _listener) = target.hear();
    assert_eq!(wire.read_exactly(13), b"are you there");
}

#[test]
fn a_ping_is_answered_while_the_target_is_dialled() {
    let target = DeafTarget::new();
    let server = Server::relay(target.address());
    let mut client = Client::open(&server);
    client.send(&Frame::new(PING, b"me?"));
    assert_eq!(client.frame_of(PONG), b"me?");
    client.send_binary(b"and this for the target");
    let (mut wire, _listener) = target.hear();
    assert_eq!(wire.read_exactly(23), b"and this for the target");
}

#[test]
fn an_unreachable_target_is_101_and_then_1011() {
    let target = Target::refusing();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    assert_eq!(client.closed(), (Some(1011), "Failed to connect to downstream server".to_owned()));
    client.send(&Frame::close(1011, ""));
    client.ended();
    let address = &target.address;
    server.log.wait_for(&format!("Failed to connect to {address}: [Errno 111] Connection refused"));
}

#[test]
fn an_unreachable_target_is_told_also_to_a_client_that_is_sending() {
    let target = Target::refusing();
    let server = Server::relay(&target.address);
    let mut client = Client::connect(&server);
    let early = Frame::binary(&[7; 20_000]).bytes();
    client.wire.send(&[UPGRADE.as_bytes(), &early].concat());
    assert_eq!(client.read_head().status, 101);
    assert_eq!(client.closed().0, Some(1011));
    client.wire.send(&early);
    client.send(&Frame::close(1011, ""));
    client.ended();
}

#[test]
fn a_client_that_is_still_sending_when_it_is_refused_reads_the_whole_answer() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::connect(&server);
    let body = vec![b'x'; 512 * 1024];
    client.wire.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n");
    client.wire.send(&body);
    let answer = client.read_answer_to_end();
    assert_eq!(answer.status, 405);
    // The answer is here, and so is its end, but the request goes on: no reset may punish that.
    client.wire.send(&body[..64 * 1024]);
    drop(client);
    is_untouched(&server, &target);
}

#[test]
fn a_client_of_another_make_gets_through() {
    let target = Target::tcp().echo();
    let server = Server::relay(&target.address);
    let url = format!("ws://{}/websockify", server.address());
    let stream = std::net::TcpStream::connect(server.address()).expect("connect to the gateway");
    stream.set_read_timeout(Some(crate::common::DEADLINE)).expect("read timeout");
    let (mut socket, _) = tungstenite::client(url, stream).expect("the handshake");
    let payload = crate::common::flow::pattern(300_000);
    socket.send(tungstenite::Message::binary(payload.clone())).expect("send");
    socket.send(tungstenite::Message::Ping(b"ping"[..].into())).expect("send");
    let (mut back, mut pongs) = (Vec::new(), 0);
    while back.len() < payload.len() || pongs == 0 {
        match socket.read().expect("read") {
            tungstenite::Message::Binary(bytes) => back.extend_from_slice(&bytes),
            tungstenite::Message::Pong(bytes) if &bytes[..] == b"ping" => pongs += 1,
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert!(back == payload, "the echo differs");
    socket.close(None).expect("send a close frame");
    let end = loop {
        match socket.read() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(end, tungstenite::Error::ConnectionClosed), "{end}");
}

#[test]
fn a_refusal_is_logged_with_its_code() {
    let target = Target::tcp();
    let server = Server::relay_with(&target.address, &["-v"]);
    let mut client = Client::connect(&server);
    client.wire.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.read_answer_to_end();
    let line = server.log.wait_for("code 405, message Method Not Allowed");
    assert_eq!(crate::common::log::message(&line, "127.0.0.1"), Some("code 405, message Method Not Allowed"));
    let line = server.log.wait_for("\"GET /nothing HTTP/1.1\" 405 -");
    assert!(crate::common::log::message(&line, "127.0.0.1").is_some(), "{line}");
    eventually("nobody dialled the target", || target.is_untouched());
}
