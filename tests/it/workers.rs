//! Several reactors behave like one: sessions are spread evenly, and limits, counters, log lines and the
//! reasons to end count for the process as a whole. Each claim holds for one worker and for four.

use std::time::Duration;

use super::Server;
use crate::common::client::{Client, UPGRADE};
use crate::common::frame::{Frame, PING};
use crate::common::target::{Service, Target};
use crate::common::{Scratch, eventually};

/// Runs `claim` with `--workers 1` and with `--workers 4`, each with more options.
fn for_one_and_four(options: &[&str], claim: impl Fn(Server, &Service)) {
    for workers in ["1", "4"] {
        let target = Target::tcp().echo();
        let options = [&["--workers", workers], options].concat();
        claim(Server::relay_with(&target.address, &options), &target);
    }
}

/// `count` sessions that have echoed, so that both of their ends are there.
fn sessions(server: &Server, count: usize) -> Vec<Client> {
    let open = |_| {
        let mut client = Client::open(server);
        client.echo(b"hello");
        client
    };
    (0..count).map(open).collect()
}

/// How many connections each reactor has, fewest first. Each has two sockets, a reactor watches its waker,
/// and the first one the listener.
fn spread(server: &Server) -> Vec<usize> {
    let mut counts: Vec<usize> = server.watched().iter().map(|watched| (watched - 1) / 2).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn sessions_are_spread_within_ten_per_cent_also_after_many_have_left() {
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--workers", "4"]);
    let mut open = sessions(&server, 40);
    assert_eq!(spread(&server), [10; 4]);
    // One half leaves, unevenly; who comes next fills the gaps.
    for _ in 0..20 {
        open.remove(open.len() / 3).close();
    }
    eventually("20 sessions to be left", || spread(&server).iter().sum::<usize>() == 20);
    open.extend(sessions(&server, 60));
    let spread = spread(&server);
    assert!(spread.iter().all(|count| (18..=22).contains(count)), "80 sessions: {spread:?}");
    open.iter_mut().for_each(|client| client.echo(b"still there"));
}

#[test]
fn endings_and_log_lines_are_those_of_all_workers() {
    for_one_and_four(&["-v"], |mut server, target| {
        for client in sessions(&server, 9) {
            client.close();
        }
        for _ in 0..7 {
            let mut refused = Client::connect(&server);
            refused.wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(refused.read_answer_to_end().status, 405);
        }
        for _ in 0..5 {
            let probe = Client::connect(&server);
            probe.wire.finish();
            let mut probe = probe;
            probe.wire.wait_until_gone();
        }
        let mut staying = sessions(&server, 6);
        server.signal("TERM");
        for client in &mut staying {
            client.closed_with(1001);
            client.send(&Frame::close(1001, ""));
        }
        assert_eq!(server.wait().code(), Some(0));
        // Over TLS they have shaken hands before they leave.
        let probes = if Server::IS_SECURE { "half-request" } else { "probe" };
        let expected = [(probes, 5), ("refused", 7), ("client-closed", 9), ("shutdown", 6)];
        let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(server.endings(), expected);
        server.log.expect("new connection", 27);
        server.log.expect("101 -", 15);
        server.log.expect(": Client closed connection", 9);
        server.log.expect("In exit", 1);
        assert_eq!(target.accepted(), 15);
    });
}

#[test]
fn term_tells_the_clients_of_all_workers_and_waits_for_their_answers() {
    for_one_and_four(&[], |mut server, _| {
        let mut open = sessions(&server, 50);
        server.signal("TERM");
        for client in &mut open {
            assert_eq!(client.closed_with(1001), "Server is shutting down");
            client.send(&Frame::close(1001, ""));
        }
        assert_eq!(server.wait_within(Duration::from_secs(5)).code(), Some(0));
        open.iter_mut().for_each(Client::ended);
    });
}

#[test]
fn max_connections_counts_those_of_all_workers() {
    for_one_and_four(&["--max-connections", "6"], |server, _| {
        let mut open = sessions(&server, 6);
        let mut seventh = Client::connect(&server);
        if Server::IS_SECURE {
            // No handshake is made with a client that there is no room for.
            seventh.wire.wait_until_gone();
        } else {
            seventh.wire.send(UPGRADE.as_bytes());
            assert_eq!(seventh.read_answer_to_end().status, 503);
        }
        open.iter_mut().for_each(|client| client.echo(b"undisturbed"));
    });
}

#[test]
fn run_once_serves_one_session_whatever_the_workers() {
    for_one_and_four(&["--run-once"], |mut server, target| {
        for _ in 0..3 {
            drop(Client::connect(&server));
        }
        let mut session = Client::open(&server);
        session.echo(b"the one session");
        for _ in 0..5 {
            let mut late = Client::connect(&server);
            late.wire.send(UPGRADE.as_bytes());
            assert_eq!(late.read_answer_to_end().status, 503);
        }
        session.echo(b"undisturbed");
        session.close();
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(target.accepted(), 1);
        server.log.expect("exiting due to --run-once", 1);
    });
}

#[test]
fn timeout_lets_the_sessions_of_all_workers_finish() {
    for_one_and_four(&["--timeout", "1"], |mut server, _| {
        let mut open = sessions(&server, 5);
        server.log.wait_for("listener exit due to --timeout 1");
        eventually("the port to be closed", || server.listeners().is_empty());
        open.iter_mut().for_each(|client| client.echo(b"still served"));
        open.into_iter().for_each(Client::close);
        assert_eq!(server.wait().code(), Some(0));
    });
}

#[test]
fn idle_timeout_looks_at_all_workers() {
    for_one_and_four(&["--idle-timeout", "1", "--heartbeat", "1"], |mut server, _| {
        // The first of five goes to the first reactor, so the last but one that stays is on another.
        let mut open = sessions(&server, 5);
        let mut last = open.remove(3);
        open.into_iter().for_each(Client::close);
        // Three seconds, told by the gateway's own clock.
        for _ in 0..3 {
            assert_eq!(last.frame().opcode, PING);
        }
        last.echo(b"still served");
        last.close();
        assert_eq!(server.wait().code(), Some(0));
        server.log.expect("listener exit due to --idle-timeout 1", 1);
    });
}

#[test]
fn a_unix_listener_has_workers_too() {
    let scratch = Scratch::new();
    let target = Target::unix(&scratch.path("target")).echo();
    let args = ["--workers", "4", "--unix-listen", &scratch.arg("ws"), "--unix-target", &target.address];
    let mut server = Server::start(&args);
    let mut open: Vec<Client> =
        (0..40).map(|_| Client::connect_unix(&scratch.path("ws")).upgrade()).collect();
    open.iter_mut().for_each(|client| client.echo(b"hello"));
    assert_eq!(spread(&server), [10; 4]);
    server.signal("TERM");
    for client in &mut open {
        client.closed_with(1001);
        client.send(&Frame::close(1001, ""));
    }
    assert_eq!(server.wait().code(), Some(0));
    assert!(!scratch.path("ws").exists());
}
