//! What the system holds for the gateway's sockets, and options of sockets that it refuses.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::client::Client;
use crate::common::flow::Flood;
use crate::common::server::{Server, program};
use crate::common::target::{Target, echo};
use crate::common::{eventually, has, skipped};

const MIB: u64 = 1 << 20;

/// What the system may hold for both sockets of one session, in bytes: most of it waits to be sent, up to 4 MiB a
/// socket. With unbounded buffers for what is received it was 14 MiB.
const SESSION_BYTES: u64 = 10 * MIB;

#[test]
fn the_system_holds_little_that_was_received_for_sessions_that_are_stalled_in_both_directions() {
    if !has("ss") {
        return;
    }
    let count = 10;
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let sessions: Vec<(Client, Flood, Flood)> = (0..count)
        .map(|_| {
            let client = Client::open(&server);
            let down = Flood::pattern(target.accept(), 64 * MIB);
            let up = client.flood(64 * MIB, 64 * 1024);
            (client, down, up)
        })
        .collect();
    for (_, down, up) in &sessions {
        down.wait_for_stall();
        up.wait_for_stall();
    }
    let (sockets, held) = held_by_the_system(&server, &target);
    println!("{} KiB for each of {count} sessions", held / count / 1024);
    assert_eq!(sockets, 2 * count, "sockets that ss has listed");
    assert!(held <= count * SESSION_BYTES, "{} KiB for each session", held / count / 1024);
    for (client, down, up) in sessions {
        down.abandon();
        up.abandon();
        drop(client);
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
        number("r") + number("w") + number("f")
    };
    let ours: Vec<u64> = text.lines().filter(is_ours).map(bytes).collect();
    (ours.len() as u64, ours.iter().sum())
}

#[test]
fn a_system_that_refuses_every_option_of_sockets_is_served_and_told_once() {
    if !has("strace") {
        return;
    }
    for error in ["ENOPROTOOPT", "EPERM", "EINVAL"] {
        let target = Target::tcp();
        let mut command = Command::new("strace");
        let inject = format!("inject=setsockopt:error={error}");
        // The tracer is a grandchild, so that the child is the gateway.
        command.args(["-D", "-f", "-o", "/dev/null", "-e", "trace=setsockopt", "-e", &inject, &program()]);
        command.args(["127.0.0.1:0", &target.address]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = Server::spawn(&mut command);
        eventually("the start, or the tracer's refusal", || {
            server.log.count("  - proxying from ") > 0 || !server.is_running()
        });
        if !server.is_running() && server.log.count("ptrace") > 0 {
            return skipped("strace may not trace here");
        }
        server.wait_until_it_listens();
        let mut client = Client::open(&server);
        let wire = target.accept();
        std::thread::spawn(move || echo(wire));
        client.echo(b"served all the same");
        server.log.expect("this system refuses ", 1);
        client.close();
        server.signal("TERM");
        assert_eq!(server.wait_within(Duration::from_secs(20)).code(), Some(0));
    }
}
