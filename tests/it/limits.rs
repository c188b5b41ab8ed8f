//! Limits: of descriptors, of connections, of time before a handshake is done. Whoever runs into one is told
//! or let go; nobody else notices, and no processor is burnt meanwhile.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::Server;
use crate::common::client::{Client, UPGRADE};
use crate::common::process::{limited, may_open, open_files_max};
use crate::common::target::Target;
use crate::common::tls;
use crate::common::wire::Wire;
use crate::common::{eventually, eventually_within};

/// A request that never comes to its end.
const HALF_REQUEST: &[u8] = b"GET /websockify HTTP/1.1\r\nHost: localhost\r\nUpgrade: webs";

#[test]
fn a_thousand_half_open_handshakes_leave_a_good_client_alone() {
    if !may_open(2500) {
        return;
    }
    let target = Target::tcp().echo();
    let args = ["127.0.0.1:0", &target.address];
    let server = Server::launch(&mut limited(1024, open_files_max().min(1 << 20), &Server::arguments(&args)));
    visit(&server);
    let memory = server.memory_kib();
    let half_open: Vec<Client> = (0..1000)
        .map(|_| {
            let mut client = Client::connect(&server);
            client.wire.send(HALF_REQUEST);
            client
        })
        .collect();
    eventually("all of them to be accepted", || server.sockets().len() >= 1000);
    // With TLS their handshakes go on for a while.
    server.wait_until_it_rests();
    let start = Instant::now();
    visit(&server);
    let waited = start.elapsed();
    println!("a good client beside 1,000 half-open handshakes: {waited:?}");
    assert!(waited < Duration::from_secs(2), "a good client waited {waited:?}");
    let grown = server.memory_kib().saturating_sub(memory);
    println!("1,000 half-open handshakes: {grown} KiB");
    // What TLS knows about a connection is a few KiB.
    let each = if Server::IS_SECURE { 12 } else { 4 };
    assert!(grown <= each * 1000, "{grown} KiB for half-open handshakes: some hold a ring");
    assert_eq!(target.accepted(), 2, "a half-open handshake reached the target");
    drop(half_open);
}

#[test]
fn silent_half_sent_and_dripped_handshakes_end_by_their_deadlines() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let start = Instant::now();
    let mut silent = Client::connect(&server);
    let mut half = Client::connect(&server);
    half.wire.send(HALF_REQUEST);
    let dripped = Client::connect(&server);
    let mut header = b"GET / HTTP/1.1\r\nX-Drip: ".to_vec();
    header.resize(10_000, b'x');
    let mut drops = header.iter();
    dripped.wire.0.set_nonblocking(true).expect("non-blocking mode");
    eventually_within(HANDSHAKE_MAX, "the dripped handshake to end", || {
        if let Some(byte) = drops.next() {
            let _ = (&dripped.wire.0).write(&[*byte]);
        }
        !is_there(&dripped.wire)
    });
    println!("a dripped handshake ended after {:?}", start.elapsed());
    silent.wire.wait_until_gone();
    half.wire.wait_until_gone();
    if Server::IS_SECURE {
        // Its first byte has come: it was one of TLS.
        server.log.wait_for_nth("request did not come in time", 3);
    } else {
        let line = format!("{}: ignoring socket not ready", server.name_of_clients());
        server.log.wait_for(&line);
        server.log.wait_for_nth("request did not come in time", 2);
    }
    assert!(target.is_untouched());
}

#[test]
fn three_hundred_stalled_tls_handshakes_leave_a_good_client_alone_and_end() {
    let target = Target::tcp().echo();
    let files =
        [tls::identity().cert.to_str(), tls::identity().key.to_str()].map(|path| path.expect("UTF-8"));
    let options = ["--cert", files[0], "--key", files[1]];
    let server = Server::relay_with(&target.address, if Server::IS_SECURE { &[] } else { &options });
    let visit = || {
        let mut client = Client::connect_tls(&server).upgrade();
        client.echo(b"hello");
        client.close();
    };
    visit();
    // The record's type, a half of a ClientHello, and one that drips.
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[7; 300]].concat();
    let start = Instant::now();
    let mut stalled: Vec<(Client, usize)> = (0..300)
        .map(|number| {
            let mut client = Client::connect_bare(&server);
            let count = [1, 200, 6][number % 3];
            client.wire.send(&hello[..count]);
            client.wire.0.set_nonblocking(true).expect("non-blocking mode");
            (client, count)
        })
        .collect();
    eventually("all of them to be accepted", || server.sockets().len() >= 300);
    let asked = Instant::now();
    visit();
    let waited = asked.elapsed();
    println!("a good client beside 300 stalled TLS handshakes: {waited:?}");
    assert!(waited < Duration::from_secs(2), "a good client waited {waited:?}");
    eventually_within(HANDSHAKE_MAX, "the stalled handshakes to end", || {
        stalled.retain_mut(|(client, sent)| {
            if *sent != 1 && *sent != 200 && *sent < hello.len() {
                let _ = (&client.wire.0).write(&hello[*sent..=*sent]);
                *sent += 1;
            }
            is_there(&client.wire)
        });
        stalled.is_empty()
    });
    println!("the last of them ended after {:?}", start.elapsed());
    assert_eq!(target.accepted(), 2);
}

/// Whether the other end has neither ended nor reset the connection.
fn is_there(wire: &Wire) -> bool {
    match (&wire.0).read(&mut [0; 100]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// When every handshake that makes no good progress is over: 28 s, and some to spare for a busy machine.
const HANDSHAKE_MAX: Duration = Duration::from_secs(40);

/// Another client comes and is refused.
fn one_too_many(server: &Server) {
    let mut client = Client::connect(server);
    client.wire.send_what_goes(UPGRADE.as_bytes());
    if Server::IS_SECURE {
        // An answer would cost a handshake.
        client.wire.wait_until_gone();
    } else {
        let answer = client.read_answer_to_end();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!answer.body.is_empty(), "{answer:?}");
    }
}

#[test]
fn one_connection_too_many_is_told_so_and_the_next_is_served_when_one_has_left() {
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--max-connections", "3"]);
    let mut served: Vec<Client> = (0..3).map(|_| Client::open(&server)).collect();
    served.iter_mut().for_each(|client| client.echo(b"served"));
    one_too_many(&server);
    server.log.wait_for("refused: all 3 connections are in use (--max-connections)");
    served.iter_mut().for_each(|client| client.echo(b"undisturbed"));
    served.pop().expect("three are there").close();
    let mut next = None;
    eventually("room for another one", || {
        let mut client = Client::connect(&server);
        client.wire.send_what_goes(UPGRADE.as_bytes());
        let is_served = client.wire.brings_something() && client.read_rest_of_head("H").status == 101;
        next = is_served.then_some(client);
        next.is_some()
    });
    next.expect("it was served").echo(b"served at last");
    assert_eq!(target.accepted(), 4);
}

#[test]
fn half_requests_of_one_address_that_fill_all_places_do_not_keep_another_address_out() {
    if Server::IS_UNIX {
        // Its clients have no address.
        return;
    }
    let target = Target::tcp().echo();
    for workers in ["1", "2"] {
        let options = ["--max-connections", "60", "--workers", workers];
        let mut server = Server::relay_with(&target.address, &options);
        let mut session = Client::open(&server);
        let half = |server: &Server| {
            let mut client = Client::connect_from([127, 0, 0, 2], server);
            client.wire.send(b"GET /");
            client
        };
        let mut crowd: VecDeque<Client> = (0..200).map(|_| half(&server)).collect();
        for _ in 0..20 {
            // The address goes on opening them, and another one comes between.
            for _ in 0..10 {
                crowd.push_back(half(&server));
                crowd.pop_front();
            }
            let mut client = Client::open(&server);
            client.echo(b"served");
            client.close();
        }
        session.echo(b"what was served before is never ended for another");
        server.log.wait_for("made room for another connection before its request came");
        drop(crowd);
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn connections_far_beyond_the_limit_are_closed_without_a_word() {
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--max-connections", "2"]);
    let mut served: Vec<Client> = (0..2).map(|_| Client::open(&server)).collect();
    served.iter_mut().for_each(|client| client.echo(b"served"));
    // They say nothing, so they wait for their deadline; and there are only so many places to wait in.
    let mut waiting: Vec<Client> = (0..200).map(|_| Client::connect(&server)).collect();
    let start = Instant::now();
    let mut closed = 0;
    eventually("some of them to be closed at once", || {
        waiting.retain_mut(|client| client.wire.is_silent());
        closed = 200 - waiting.len();
        closed >= 100
    });
    println!("{closed} of 200 were closed within {:?}", start.elapsed());
    assert!(server.sockets().len() < 200, "{} sockets", server.sockets().len());
    assert_eq!(server.log.count("ignoring socket not ready"), 0, "they were closed for their silence");
    served.iter_mut().for_each(|client| client.echo(b"undisturbed"));
}

/// 200 clients knock, `served` of them have been served: those go on, the process does not spin, and when the
/// crowd has left, a new client is served.
fn a_crowd_is_survived(server: &Server, mut served: Vec<Client>) {
    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(server);
        client.wire.send_what_goes(UPGRADE.as_bytes());
        crowd.push(client);
    }
    let (start, spent) = (Instant::now(), server.cpu_time());
    while start.elapsed() < CPU_WINDOW {
        for client in &mut served {
            client.echo(b"undisturbed");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let share = (server.cpu_time() - spent).as_secs_f64() / start.elapsed().as_secs_f64();
    println!(
        "{:.1} % of a core beside 200 clients, echoes of {} sessions included",
        share * 100.0,
        served.len()
    );
    assert!(share < 0.3, "{:.0} % of a core while nothing can be accepted", share * 100.0);
    drop(crowd);
    let start = Instant::now();
    eventually("a new client to be served", || {
        let mut client = Client::connect(server);
        client.wire.send_what_goes(UPGRADE.as_bytes());
        let mut head = [0; 12];
        let is_served = (&client.wire.0).read_exact(&mut head).is_ok() && head == *b"HTTP/1.1 101";
        drop(client);
        is_served
    });
    println!("served again after {:?}", start.elapsed());
    served.iter_mut().for_each(|client| client.echo(b"still there"));
}

/// Time over which the processor's use is counted; what is measured is a share of it.
const CPU_WINDOW: Duration = Duration::from_secs(2);

#[test]
fn a_limit_of_64_files_survives_200_clients() {
    let target = Target::tcp().echo();
    let server = Server::launch(&mut limited(64, 64, &Server::arguments(&["127.0.0.1:0", &target.address])));
    let served = (0..4).map(|_| Client::open(&server)).collect();
    a_crowd_is_survived(&server, served);
}

/// The number behind `before` in the first line that has it.
fn told(server: &Server, before: &str) -> usize {
    let line = server.log.wait_for(before);
    let (_, rest) = line.split_once(before).expect("it is in the line");
    rest.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn the_limit_of_open_files_is_a_number_of_connections_and_one_too_many_is_told_so() {
    let target = Target::tcp().echo();
    for (open_files, options, before) in [
        (64, vec!["-v"], "up to "),
        (64, vec!["--max-connections", "60"], "more than the 64 open files allowed (ulimit -n): "),
        (256, vec!["--max-connections", "500"], "more than the 256 open files allowed (ulimit -n): "),
        (300, vec!["--max-connections", "130", "--workers", "8"], "open files allowed (ulimit -n): "),
    ] {
        let args = [&options[..], &["127.0.0.1:0", &target.address]].concat();
        let server = Server::launch(&mut limited(open_files, open_files, &Server::arguments(&args)));
        let most = told(&server, before);
        assert!(most >= 10 && most < open_files as usize / 2, "{most} of {open_files}");
        let mut served: Vec<Client> = (0..most).map(|_| Client::open(&server)).collect();
        served.iter_mut().for_each(|client| client.echo(b"served"));
        one_too_many(&server);
        server.log.wait_for(&format!(
            "{}: refused: all {most} connections are in use (--max-connections; ulimit -n is {open_files})",
            server.name_of_clients()
        ));
        drop(served);
        eventually("the places to be free again", || server.sockets().len() <= 1);
        visit(&server);
    }
}

#[test]
fn a_limit_of_open_files_that_serves_nobody_ends_the_start() {
    for (open_files, options) in [(8, vec![]), (20, vec!["-v"]), (64, vec!["--workers", "16"])] {
        let args = [&options[..], &["127.0.0.1:0", "127.0.0.1:1"]].concat();
        let mut server = Server::spawn(&mut limited(open_files, open_files, &Server::arguments(&args)));
        assert_eq!(server.wait().code(), Some(1), "{open_files} {options:?}");
        let lines = server.log.wait_for_end();
        let told =
            format!("websockify: error: the limit of open files (ulimit -n) is {open_files}, and at least ");
        assert!(lines.iter().any(|line| line.starts_with(&told)), "{lines:?}");
    }
}

#[test]
fn running_out_of_descriptors_stops_only_the_accepting_and_only_for_a_while() {
    let target = Target::tcp().echo();
    let server = Server::relay(&target.address);
    server.limit_open_files(64);
    let served = (0..4).map(|_| Client::open(&server)).collect();
    a_crowd_is_survived(&server, served);
    server.log.wait_for("accepting failed: [Errno 24] Too many open files");
    assert!(server.log.count("accepting failed") <= 20, "the log is flooded");
}

#[test]
fn running_out_of_descriptors_while_dialling_is_1011() {
    let target = Target::tcp().echo();
    let server = Server::relay(&target.address);
    server.limit_open_files(64);
    eventually("the reactor to be there", || server.watched() == [2]);
    let room = server.free_descriptors(64);
    // All but one descriptor are taken: enough for one more client, and none is left for its target.
    let idle: Vec<Client> = (0..room - 1).map(|_| Client::connect(&server)).collect();
    let taken = || server.watched().iter().sum::<usize>() == 2 + idle.len();
    eventually("the idle connections to be accepted", taken);
    let mut client = Client::open(&server);
    assert_eq!(client.closed_with(1011), "Failed to connect to downstream server");
    server.log.wait_for("[Errno 24] Too many open files");
    drop((client, idle));
    eventually("room", || server.watched() == [2]);
    visit(&server);
}

/// One session that echoes and is closed by the client.
fn visit(server: &Server) {
    let mut client = Client::open(server);
    client.echo(b"hello");
    client.close();
}
