//! A program for each session (`--wrap-stdin`): the session's data on its standard input and output.

use std::fs;
use std::time::{Duration, Instant};

use super::Server;
use super::wrap::{is_group_there, number_in};
use crate::common::client::Client;
use crate::common::frame::Frame;
use crate::common::server::command;
use crate::common::{Scratch, eventually};

/// A gateway that starts a shell's script for each session.
fn shell(options: &[&str], script: &str) -> Server {
    let arguments = [options, &["--wrap-stdin", "127.0.0.1:0", "--", "sh", "-c", script]].concat();
    Server::launch(&mut command(&arguments))
}

#[test]
fn each_session_has_a_program_of_its_own_on_its_standard_input_and_output() {
    let server = shell(&[], "echo $$; exec cat");
    let port = server.port;
    server
        .log
        .wait_for(&format!("proxying from 127.0.0.1:{port} to 'sh -c echo $$; exec cat' (standard input)"));
    let mut clients: Vec<(Client, String)> = (0..5)
        .map(|_| {
            let mut client = Client::open(&server);
            let line = client.frame().payload;
            (client, String::from_utf8(line).expect("a number").trim().to_owned())
        })
        .collect();
    for (client, pid) in &mut clients {
        client.echo(format!("to process {pid}").as_bytes());
    }
    let mut pids: Vec<String> = clients.iter().map(|(_, pid)| pid.clone()).collect();
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 5);
    for (client, pid) in clients {
        client.close();
        let line =
            server.log.wait_for(&format!("'sh -c echo $$; exec cat' (process {pid}) exited. Returned "));
        assert!(line.ends_with("Returned 0") || line.ends_with("Returned -15"), "{line}");
    }
    eventually("no child to be left", || server.children() == 0);
}

#[test]
fn a_program_that_ends_closes_its_session_behind_all_its_data() {
    const BYTES: usize = 2 << 20;
    let server = shell(&[], &format!("head -c {BYTES} /dev/zero; exit 3"));
    let mut client = Client::connect_narrow(&server).upgrade();
    assert_eq!(client.data(BYTES).len(), BYTES);
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
    client.send(&Frame::close(1000, ""));
    client.ended();
    server.log.wait_for("exited. Returned 3");
}

#[test]
fn what_a_client_sends_last_is_read_by_its_program() {
    let scratch = Scratch::new();
    let server = shell(&[], &format!("wc -c > {0}.part; mv {0}.part {0}", scratch.arg("count")));
    let mut client = Client::open(&server);
    client.send_binary(&[7; 100_000]);
    client.close();
    assert_eq!(number_in(&scratch.path("count")), 100_000);
    server.log.wait_for("exited. Returned 0");
}

#[test]
fn a_program_that_outlives_its_session_is_told_to_go_and_then_killed() {
    for (trap, returned) in [("exit 6", 6), ("", -9)] {
        let scratch = Scratch::new();
        // What it has started is in its group.
        let script = format!(
            "trap '{trap}' TERM; sleep 100 & echo $$ > {}; while :; do wait; done",
            scratch.arg("pid")
        );
        let server = shell(&[], &script);
        let client = Client::open(&server);
        let group = number_in(&scratch.path("pid"));
        let begin = Instant::now();
        client.close();
        server.log.wait_for(&format!("(process {group}) exited. Returned {returned}"));
        assert!(returned > 0 || begin.elapsed() >= Duration::from_secs(4), "KILL came too early");
        assert!(!is_group_there(group));
    }
}

#[test]
fn its_standard_error_is_ours_and_its_input_has_no_other_descriptors() {
    let server = shell(&[], "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0 >&2");
    let mut client = Client::open(&server);
    // The fourth is what ls reads the list with.
    assert_eq!(client.data(8), b"0 1 2 3 ");
    server.log.wait_for("socket:[");
    drop(client);
}

#[test]
fn term_ends_all_programs() {
    let scratch = Scratch::new();
    let script = format!("echo $$ > {}/$$; exec cat", scratch.arg(""));
    let mut server = shell(&[], &script);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::open(&server)).collect();
    for client in &mut clients {
        client.echo(b"here");
    }
    let pids: Vec<u32> = fs::read_dir(scratch.path(""))
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().to_str().expect("a number").parse().expect("a number"))
        .collect();
    assert_eq!(pids.len(), 3);
    server.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.closed().0, Some(1001));
        client.send(&Frame::close(1001, ""));
    }
    assert_eq!(server.wait().code(), Some(0));
    assert!(!pids.into_iter().any(is_group_there));
}

#[test]
fn a_client_that_leaves_at_once_leaves_no_program() {
    let server = shell(&[], "exec sleep 100");
    for _ in 0..20 {
        let mut client = Client::open(&server);
        client.send(&Frame::close(1000, ""));
        client.wire.finish();
    }
    eventually("no program to be left", || server.children() == 0 && server.connections() == 0);
    // The next one finds room.
    let _client = Client::open(&server);
    eventually("its program", || server.children() == 1);
}

#[test]
fn a_program_that_does_not_start_is_a_1011_with_the_reason() {
    let scratch = Scratch::new();
    let path = scratch.arg("p");
    fs::copy("/bin/cat", &path).expect("a program");
    let server = Server::start(&["--wrap-stdin", "127.0.0.1:0", "--", &path]);
    Client::open(&server).echo(b"it is there");
    fs::remove_file(&path).expect("it was there");
    let mut client = Client::open(&server);
    assert_eq!(client.closed(), (Some(1011), "Failed to connect to downstream server".to_owned()));
    server.log.wait_for(&format!(
        "Failed to connect to '{path}': Starting '{path}' failed: [Errno 2] No such file or directory"
    ));
}

#[test]
fn programs_are_no_more_than_the_limit() {
    const LIMIT: usize = 256;
    let server = shell(&[], "exec cat");
    let mut clients: Vec<Client> = (0..LIMIT).map(|_| Client::open(&server)).collect();
    for client in &mut clients {
        client.echo(b"!");
    }
    let mut one_more = Client::open(&server);
    assert_eq!(one_more.closed().0, Some(1011));
    server.log.wait_for("Failed to connect to 'sh -c exec cat': 256 programs are running");
    drop(clients);
    eventually("room", || server.children() == 0);
    Client::open(&server).echo(b"room");
}

#[test]
fn a_unix_listener_needs_no_port_for_it() {
    let scratch = Scratch::new();
    let socket = scratch.arg("s");
    let server = Server::spawn(&mut command(&["--unix-listen", &socket, "--wrap-stdin", "--", "cat"]));
    server.log.wait_for("to 'cat' (standard input)");
    Client::connect_unix(&scratch.path("s")).upgrade().echo(b"no port anywhere");
}
