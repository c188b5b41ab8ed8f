//! From the start to the exit: what is printed at the start, exactly, since scripts read it; what ends
//! the program, and with which status.

use super::Server;
use crate::common::client::{Client, visit};
use crate::common::eventually;
use crate::common::frame::Frame;
use crate::common::server::command;
use crate::common::target::Target;

#[test]
fn the_start_prints_the_lines_that_scripts_wait_for() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let port = server.port;
    assert_ne!(port, 0, "port 0 in the command line, the real one in the log");
    let tls = if Server::IS_SECURE { "SSL/TLS support" } else { "No SSL/TLS support (no cert file)" };
    let expected = [
        "WebSocket server settings:".to_owned(),
        format!("  - Listen on 127.0.0.1:{port}"),
        format!("  - {tls}"),
        format!("  - proxying from 127.0.0.1:{port} to {}", target.address),
    ];
    assert_eq!(server.log.lines(), expected);
}

#[test]
fn an_empty_host_is_printed_empty() {
    let target = Target::tcp();
    for source in [":0", "0"] {
        let server = Server::start(&[source, &target.address]);
        let port = server.port;
        server.log.wait_for(&format!("  - Listen on :{port}"));
        server.log.wait_for(&format!("  - proxying from :{port} to {}", target.address));
        // On all addresses means on this one, too.
        let _session = Client::open(&server);
        target.accept();
    }
}

#[test]
fn the_targets_name_is_printed_as_it_was_given() {
    let target = Target::tcp();
    let server = Server::start(&["127.0.0.1:0", &format!("localhost:{}", target.port())]);
    server.log.wait_for(&format!(" to localhost:{}", target.port()));
    let _session = Client::open(&server);
    server.log.wait_for(&format!("connecting to: localhost:{}", target.port()));
    target.accept();
}

#[test]
fn a_port_that_is_taken_is_told_and_is_exit_1() {
    let target = Target::tcp();
    let first = Server::relay(&target.address);
    let source = format!("127.0.0.1:{}", first.port);
    let mut second = Server::spawn(&mut command(&[&source, &target.address]));
    assert_eq!(second.wait().code(), Some(1));
    let lines = second.log.wait_for_end();
    let expected = "Opening socket failed: [Errno 98] Address already in use";
    assert!(lines.iter().any(|line| line == expected), "{lines:#?}");
}

#[test]
fn an_address_that_is_not_here_is_told_and_is_exit_1() {
    let mut server = Server::spawn(&mut command(&["192.0.2.1:0", "127.0.0.1:1"]));
    assert_eq!(server.wait().code(), Some(1));
    let lines = server.log.wait_for_end();
    let expected = "Opening socket failed: [Errno 99] Cannot assign requested address";
    assert!(lines.iter().any(|line| line == expected), "{lines:#?}");
}

#[test]
fn usage_errors_are_exit_2() {
    for args in
        [&[][..], &["6080"], &["6080", "a:1", "b:2"], &["6080", "a:1", "--no-such-option"], &["x:y", "a:1"]]
    {
        let mut server = Server::spawn(&mut command(args));
        assert_eq!(server.wait().code(), Some(2), "{args:?}");
        let lines = server.log.wait_for_end();
        assert!(lines.iter().any(|line| line.starts_with("websockify: error: ")), "{args:?}: {lines:#?}");
        assert_eq!(server.stdout.wait_for_end(), Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn options_may_follow_the_addresses() {
    let target = Target::tcp().echo();
    let server = Server::start(&["127.0.0.1:0", &target.address, "--heartbeat", "30", "-v", "--timeout=600"]);
    visit(&server, "/");
    server.log.wait_for("\"GET / HTTP/1.1\" 101 -");
}

#[test]
fn term_and_int_end_with_0() {
    for signal in ["TERM", "INT"] {
        let target = Target::tcp();
        let mut server = Server::relay_with(&target.address, &["-v"]);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
        let lines = server.log.wait_for_end();
        assert!(lines.iter().any(|line| line == "In exit"), "{signal}: {lines:#?}");
    }
}

#[test]
fn run_once_ends_with_its_first_session_and_counts_nothing_else() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["--run-once"]);
    // A probe, a half-sent request and a plain request are no session.
    drop(Client::connect(&server));
    let mut half = Client::connect(&server);
    half.wire.send(b"GET / HT");
    drop(half);
    let mut plain = Client::connect(&server);
    plain.wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(plain.read_answer_to_end().status, 405);
    assert!(server.is_running());
    visit(&server, "/");
    assert_eq!(server.wait().code(), Some(0));
    server.log.wait_for("127.0.0.1: exiting due to --run-once");
    assert_eq!(target.accepted(), 1);
}

#[test]
fn run_once_never_serves_a_second_session() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["--run-once"]);
    let mut first = Client::open(&server);
    first.echo(b"the one session");
    let mut second = Client::connect(&server);
    second.wire.send_what_goes(crate::common::client::UPGRADE.as_bytes());
    first.echo(b"undisturbed");
    first.close();
    assert_eq!(server.wait().code(), Some(0));
    second.wire.wait_until_gone();
    assert_eq!(target.accepted(), 1);
}

#[test]
fn run_once_counts_a_session_whose_target_was_unreachable() {
    let target = Target::refusing();
    let mut server = Server::relay_with(&target.address, &["--run-once"]);
    let mut client = Client::open(&server);
    client.closed_with(1011);
    drop(client);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn timeout_ends_the_listener_and_lets_sessions_finish() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["--timeout", "1"]);
    let mut client = Client::open(&server);
    server.log.wait_for("listener exit due to --timeout 1");
    eventually("the port to be closed", || server.listeners().is_empty());
    client.echo(b"still served");
    assert!(server.is_running());
    client.close();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn timeout_without_a_session_just_ends() {
    let target = Target::tcp();
    let mut server = Server::relay_with(&target.address, &["--timeout=1"]);
    assert_eq!(server.wait().code(), Some(0));
    server.log.wait_for("listener exit due to --timeout 1");
}

#[test]
fn idle_timeout_ends_when_nobody_is_connected() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["--idle-timeout", "1"]);
    assert_eq!(server.wait().code(), Some(0));
    server.log.wait_for("listener exit due to --idle-timeout 1");
}

#[test]
fn idle_timeout_does_not_count_while_somebody_is_connected() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["--idle-timeout", "1", "--heartbeat", "1"]);
    let mut client = Client::open(&server);
    // Three seconds, told by the gateway's own clock.
    for _ in 0..3 {
        let payload = client.frame_of(crate::common::frame::PING);
        client.send(&Frame::new(crate::common::frame::PONG, &payload));
    }
    client.echo(b"still served");
    client.close();
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_port_is_free_at_once_after_term_and_after_kill() {
    let target = Target::tcp().echo();
    let mut port = 0;
    for signal in ["TERM", "KILL", "TERM"] {
        // An address of its own, since a connection of another test may get this port at 127.0.0.1.
        let mut server = Server::start(&[&format!("127.0.0.77:{port}"), &target.address]);
        port = server.port;
        let stream = std::net::TcpStream::connect(("127.0.0.77", port)).expect("connect to the gateway");
        let mut client = Client { wire: crate::common::wire::Wire::new(stream.into()) }.upgrade();
        client.echo(b"a session leaves TIME_WAIT behind");
        server.signal(signal);
        server.wait();
    }
}
