//! The log: lines that scripts grep, to the letter; the same in the file as on stderr; nothing secret and
//! no control byte in it; and nobody who reads (or does not read) it can stop the service.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::common::client::{Client, visit};
use crate::common::frame::Frame;
use crate::common::log::message;
use crate::common::server::{Server, command};
use crate::common::target::Target;
use crate::common::{Scratch, eventually};

/// The lines about connections from 127.0.0.1, without address and date, which are checked on the way.
fn messages(lines: &[String]) -> Vec<String> {
    lines.iter().filter_map(|line| message(line, "127.0.0.1")).map(str::to_owned).collect()
}

#[test]
fn a_session_is_logged_in_the_lines_that_scripts_grep() {
    let target = Target::tcp().echo();
    let server = Server::relay(&target.address);
    visit(&server, "/websockify?x=y");
    visit(&server, "/");
    let connecting = format!("connecting to: {}", target.address);
    server.log.wait_for_nth(&connecting, 2);
    let plain = "127.0.0.1: Plain non-SSL (ws://) WebSocket connection";
    let expected = [plain, "127.0.0.1: Path: '/websockify?x=***'", &connecting, plain, &connecting];
    assert_eq!(messages(&server.log.lines()), expected);
    assert_eq!(server.log.lines().len(), 4 + 5, "other lines: {:#?}", server.log.lines());
}

#[test]
fn verbose_adds_the_request_and_the_end() {
    let target = Target::tcp();
    let server = Server::relay_with(&target.address, &["-v"]);
    let mut client = Client::connect(&server);
    let request = crate::common::client::UPGRADE.replace("GET / ", "GET /websockify ");
    assert_eq!(client.ask(request.as_bytes()).status, 101);
    let wire = target.accept();
    client.send(&Frame::close(1000, ""));
    client.closed_with(1000);
    drop(wire);
    client.ended();
    let address = &target.address;
    server.log.wait_for(&format!("{address}: Closed target"));
    let expected = [
        "\"GET /websockify HTTP/1.1\" 101 -".to_owned(),
        "127.0.0.1: Plain non-SSL (ws://) WebSocket connection".to_owned(),
        "127.0.0.1: Path: '/websockify'".to_owned(),
        format!("connecting to: {address}"),
        format!("{address}: Client closed connection"),
        format!("{address}: Closed target"),
    ];
    let got = messages(&server.log.lines());
    let known: Vec<&String> = got.iter().filter(|line| expected.contains(line)).collect();
    assert_eq!(known, expected.iter().collect::<Vec<_>>(), "all lines: {got:#?}");
}

#[test]
fn verbose_says_when_the_target_ended() {
    let target = Target::tcp();
    let server = Server::relay_with(&target.address, &["--verbose"]);
    let mut client = Client::open(&server);
    drop(target.accept());
    client.closed_with(1000);
    client.send(&Frame::close(1000, ""));
    client.ended();
    let line = server.log.wait_for("Target closed connection");
    let expected = format!("{}: Target closed connection", target.address);
    assert_eq!(message(&line, "127.0.0.1"), Some(expected.as_str()));
}

#[test]
fn without_verbose_the_ends_are_not_logged() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    drop(target.accept());
    client.closed_with(1000);
    drop(client);
    // A later line of another session shows that nothing more comes about this one.
    let _next = Client::open(&server);
    server.log.wait_for_nth("connecting to: ", 2);
    assert_eq!(server.log.count("closed connection"), 0);
    assert_eq!(server.log.count("Closed target"), 0);
    assert_eq!(server.log.count("GET "), 0);
}

#[test]
fn the_log_file_gets_the_same_lines() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["-v", "--log-file", &scratch.arg("log")]);
    visit(&server, "/websockify");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let on_stderr = server.log.wait_for_end();
    let in_file = std::fs::read_to_string(scratch.path("log")).expect("the log file is there");
    assert_eq!(in_file.lines().collect::<Vec<_>>(), on_stderr);
    assert!(on_stderr.len() > 8, "{on_stderr:#?}");
}

#[test]
fn a_log_file_is_appended_to() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("log"), "an earlier run\n").expect("write a file");
    let target = Target::tcp();
    let mut server = Server::relay_with(&target.address, &["--log-file", &scratch.arg("log")]);
    server.signal("TERM");
    server.wait();
    let text = std::fs::read_to_string(scratch.path("log")).expect("the log file is there");
    assert!(text.starts_with("an earlier run\nWebSocket server settings:\n"), "{text}");
}

#[test]
fn stdout_stays_empty() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["-v"]);
    visit(&server, "/websockify");
    server.signal("TERM");
    server.wait();
    assert_eq!(server.stdout.wait_for_end(), Vec::<String>::new());
}

#[test]
fn traffic_is_drawn_on_stdout() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["--traffic"]);
    visit(&server, "/");
    server.signal("TERM");
    server.wait();
    let text = server.stdout.wait_for_end().join("\n");
    let legend = [
        "Traffic Legend:",
        "}  - Client receive",
        "{  - Target receive",
        ">  - Target send",
        "<  - Client send",
    ];
    for line in legend {
        assert!(text.contains(line), "{line:?} in {text:?}");
    }
    let marks = text.rsplit("Client send partial\n").next().unwrap_or_default();
    assert_eq!(marks, "}>{<", "one message there and back, and a Close");
}

/// As the Python program draws them.
#[test]
fn traffic_has_a_mark_for_each_message_and_none_for_a_close() {
    let target = Target::tcp().echo();
    let two = [Frame::binary(b"one").bytes(), Frame::binary(b"two").bytes()].concat();
    let whole = Frame::binary(b"in two pieces").bytes();
    let (header, rest) = whole.split_at(3);
    // The answer to it says that a piece was read.
    let ping = Frame::new(9, b"").bytes();
    let (ping_and_two, ping_and_header) = ([&ping, &two[..]].concat(), [&ping, header].concat());
    for (pieces, pongs, echo, marks) in [
        (vec![&two[..]], 0, "onetwo", "}}>>{<"),
        (vec![&ping_and_two], 1, "onetwo", "}}>>{<"),
        (vec![&ping, &two], 1, "onetwo", "}.}}>>{<"),
        (vec![&ping_and_header, rest], 1, "in two pieces", "}.}>{<"),
    ] {
        let mut server = Server::relay_with(&target.address, &["--traffic"]);
        let mut client = Client::open(&server);
        for (number, piece) in pieces.into_iter().enumerate() {
            client.wire.send(piece);
            if number < pongs {
                client.frame_of(10);
            }
        }
        assert_eq!(client.data(echo.len()), echo.as_bytes());
        client.send(&Frame::close(1000, ""));
        client.closed_with(1000);
        client.ended();
        server.signal("TERM");
        server.wait();
        let text = server.stdout.wait_for_end().join("\n");
        assert_eq!(text.rsplit("Client send partial\n").next(), Some(marks));
    }
}

#[test]
fn a_closed_stderr_does_not_stop_the_service() {
    let target = Target::tcp().echo();
    let scratch = Scratch::new();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "exec \"$@\" 2>&-", "sh", &crate::common::server::program()]);
    shell.args(["-v", "--log-file", &scratch.arg("log"), "127.0.0.1:0", &target.address]);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::spawn(&mut shell);
    server.port = port_in_file(&scratch);
    for _ in 0..50 {
        visit(&server, "/websockify");
    }
    assert!(server.is_running());
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_stderr_whose_reader_has_gone_does_not_stop_the_service() {
    let target = Target::tcp().echo();
    let scratch = Scratch::new();
    let mut command = command(&["-v", "--log-file", &scratch.arg("log"), "127.0.0.1:0", &target.address]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    command.stderr(writer);
    let mut server = Server::spawn(&mut command);
    drop(command);
    drop(reader);
    server.port = port_in_file(&scratch);
    for _ in 0..50 {
        visit(&server, "/websockify");
    }
    assert!(server.is_running());
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_full_stderr_does_not_stop_the_service() {
    let target = Target::tcp().echo();
    let scratch = Scratch::new();
    let (_reader, mut writer) = std::io::pipe().expect("a pipe");
    // 64 KiB fit in a pipe, and nobody reads: the first line of the gateway already has no room.
    writer.write_all(&[b'\n'; 64 * 1024]).expect("fill the pipe");
    let mut command = command(&["-v", "--log-file", &scratch.arg("log"), "127.0.0.1:0", &target.address]);
    command.stderr(writer);
    let mut server = Server::spawn(&mut command);
    drop(command);
    server.wait_for_listener();
    for _ in 0..300 {
        visit(&server, "/websockify");
    }
    assert!(server.is_running());
    server.signal("TERM");
    assert_eq!(server.wait_within(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn a_stderr_that_stalls_and_goes_on_gets_whole_lines() {
    let target = Target::tcp().echo();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = command(&["-v", "127.0.0.1:0", &target.address]);
    command.stderr(writer);
    let mut server = Server::spawn(&mut command);
    drop(command);
    server.wait_for_listener();
    let path = format!("/{}", "p".repeat(2000));
    for _ in 0..100 {
        visit(&server, &path);
    }
    let reading = crate::common::log::Log::collect(reader);
    visit(&server, "/after-the-stall");
    reading.wait_for("GET /after-the-stall HTTP/1.1");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    for line in reading.wait_for_end().iter().filter(|line| line.contains("ppp")) {
        assert!(line.starts_with("127.0.0.1 - - ["), "a torn line: {line:?}");
    }
}

#[test]
fn no_control_byte_of_a_client_reaches_the_log() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["-v"]);
    let rows = [
        "GET /a\x1b[31mred HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /b\x07\x08\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /c\rInjected HTTP/1.1\r\nHost: x\r\n\r\n",
        "G\x1bET /d HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%1b%0aInjected HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for row in rows {
        let mut client = Client::connect(&server);
        client.wire.send(row.as_bytes());
        client.wire.wait_until_gone();
    }
    visit(&server, "/%1b%0d%0aInjected-line");
    let mut client = Client::connect(&server);
    let request = crate::common::client::UPGRADE.replace("GET / ", "GET /\u{9b}31m\u{fffd} ");
    client.wire.send(request.as_bytes());
    client.wire.finish();
    client.wire.wait_until_gone();
    server.signal("TERM");
    server.wait();
    for line in server.log.wait_for_end() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.starts_with("Injected"), "{line:?}");
    }
}

#[test]
fn token_values_never_reach_the_log() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["-v"]);
    visit(&server, "/websockify?token=SECRET1");
    visit(&server, "/?x=1&token=SECRET2&y=2");
    visit(&server, "/?%74oken=SECRET3");
    let mut plain = Client::connect(&server);
    plain
        .wire
        .send(b"GET /x?token=SECRET4 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic SECRET5\r\n\r\n");
    plain.read_answer_to_end();
    server.signal("TERM");
    server.wait();
    let lines = server.log.wait_for_end();
    assert!(!lines.iter().any(|line| line.contains("SECRET")), "{lines:#?}");
    // The lines keep their shape.
    assert!(lines.iter().any(|line| line.contains("Path: '/websockify?token=")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("\"GET /x?token=")), "{lines:#?}");
}

/// The port that the log file tells.
fn port_in_file(scratch: &Scratch) -> u16 {
    let mut port = None;
    eventually("the port in the log file", || {
        let text = std::fs::read_to_string(scratch.path("log")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("  - proxying from "));
        let source = line.and_then(|line| line.split(' ').nth(5));
        port = source.and_then(|source| source.rsplit(':').next()).and_then(|port| port.parse().ok());
        port.is_some()
    });
    port.unwrap_or_default()
}

#[test]
fn a_log_on_a_full_disk_stops_nobody() {
    let target = Target::tcp().echo();
    // Writing to it always says that there is no space left.
    let mut server = Server::relay_with(&target.address, &["-v", "--log-file", "/dev/full"]);
    for _ in 0..20 {
        visit(&server, "/");
    }
    server.signal("HUP");
    visit(&server, "/");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    server.log.expect("101 -", 21);
}
