//! What the system holds for the gateway's sockets.

use std::process::Command;

use crate::common::client::Client;
use crate::common::flow::{Flood, pattern};
use crate::common::frame::BINARY;
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::wire::Wire;
use crate::common::{has, text, tls};

const MIB: u64 = 1 << 20;

/// What the system may hold for both sockets of a session of which one end does not read, in bytes.
const SESSION_BYTES: u64 = 3 * MIB / 2;

/// What a client or a target may write before it reads, in bytes.
const AHEAD_BYTES: usize = 16 << 20;

#[test]
fn the_system_holds_little_for_sessions_whose_client_does_not_read() {
    let target = Target::tcp();
    let flood = |client: Client, target| (Flood::pattern(target, 64 * MIB), client.wire);
    holds_little(&Server::relay(&target.address), &target, Client::open, flood);
}

#[test]
fn the_system_holds_little_for_tls_sessions_whose_client_does_not_read() {
    let target = Target::tcp();
    let identity = tls::identity();
    let files = ["--cert", &text(&identity.cert), "--key", &text(&identity.key)];
    let server = Server::relay_with(&target.address, &files);
    let open = |server: &Server| Client::connect_tls(server).upgrade();
    holds_little(&server, &target, open, |client, target| (Flood::pattern(target, 64 * MIB), client.wire));
}

#[test]
fn the_system_holds_little_for_sessions_whose_target_does_not_read() {
    let target = Target::tcp();
    let flood = |client: Client, target| (client.flood(64 * MIB, 64 * 1024), target);
    holds_little(&Server::relay(&target.address), &target, Client::open, flood);
}

#[test]
fn the_system_holds_little_for_sessions_that_stop_in_the_middle_of_bulk() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    holds_little(&server, &target, Client::open, |mut client, target| {
        let flood = Flood::pattern(target, 256 * MIB);
        client.wire.read_exactly(64 << 20);
        (flood, client.wire)
    });
}

/// Checks it for sessions of which `stall` makes one end send and not the other one read.
fn holds_little(
    server: &Server,
    target: &Target,
    open: impl Fn(&Server) -> Client,
    stall: impl Fn(Client, Wire) -> (Flood, Wire),
) {
    if !has("ss") {
        return;
    }
    let count = 5;
    let sessions: Vec<(Flood, Wire)> = (0..count)
        .map(|_| {
            let client = open(server);
            stall(client, target.accept())
        })
        .collect();
    sessions.iter().for_each(|(flood, _)| flood.wait_for_stall());
    let (sockets, held) = held_by_the_system(server, target);
    println!("{} KiB for each of {count} sessions", held / count / 1024);
    assert_eq!(sockets, 2 * count, "sockets that ss has listed");
    assert!(held <= count * SESSION_BYTES, "{} KiB for each session", held / count / 1024);
    for (flood, other) in sessions {
        flood.abandon();
        drop(other);
    }
}

/// The sockets of the gateway, and the bytes that the system has allocated for them (ss(8), `skmem`).
fn held_by_the_system(server: &Server, target: &Target) -> (u64, u64) {
    let output = Command::new("ss").args(["-tmnHO"]).output().expect("ss");
    let text = String::from_utf8(output.stdout).expect("ss writes text");
    let (own, to) = (format!(":{}", server.port), format!(":{}", target.port()));
    let is_ours = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.len() > 4 && (columns[3].ends_with(&own) || columns[4].ends_with(&to))
    };
    // Received, being sent, and set aside for either.
    let bytes = |line: &str| -> u64 {
        let memory = line.split("skmem:(").nth(1).expect("ss shows memory");
        let number = |name: &str| -> u64 {
            let item = memory.split([',', ')']).find_map(|item| item.strip_prefix(name)?.parse().ok());
            item.expect("each number is there")
        };
        ["r", "t", "f", "w"].map(number).iter().sum()
    };
    let ours: Vec<u64> = text.lines().filter(is_ours).map(bytes).collect();
    (ours.len() as u64, ours.iter().sum())
}

#[test]
fn a_client_that_writes_16_mib_before_it_reads_gets_its_echo() {
    let echo = Target::tcp().echo();
    let server = Server::relay(&echo.address);
    for ahead in [AHEAD_BYTES / 2, AHEAD_BYTES] {
        let mut client = Client::open(&server);
        client.send_binary(&pattern(ahead));
        client.check_data(ahead as u64);
        client.close();
    }
}

#[test]
fn a_target_that_writes_16_mib_before_it_reads_gets_its_echo() {
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let mut wire = target.accept();
    let thread = std::thread::spawn(move || {
        wire.send(&pattern(AHEAD_BYTES));
        assert!(wire.read_exactly(AHEAD_BYTES) == pattern(AHEAD_BYTES), "the echo is what was sent");
    });
    let mut left = AHEAD_BYTES;
    while left > 0 {
        let payload = client.frame_of(BINARY);
        left -= payload.len();
        client.send_binary(&payload);
    }
    thread.join().expect("the target has its echo");
    client.close();
}
