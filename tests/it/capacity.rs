//! Many sessions at once: more than the soft limit of open files allows, each with bytes of its own, beside
//! stalled ones; what they cost in memory, and what they cost in time while nothing happens.
//!
//! The large forms, whose output has the figures:
//! `WEBSOCKIFY_SESSIONS=2000 cargo test --release --test it -- --nocapture capacity::many` and
//! `WEBSOCKIFY_IDLE=9000 WEBSOCKIFY_IDLE_SECONDS=20 cargo test --release --test it -- --nocapture capacity::idle`.

use std::time::{Duration, Instant};

use super::Server;
use crate::common::client::Client;
use crate::common::flow::{Flood, pattern_at};
use crate::common::process::{limited, may_open, open_files_max, size};
use crate::common::random::Random;
use crate::common::target::Target;
use crate::common::wire::Wire;

/// A gateway under a soft limit of 1,024 open files, as most systems set it.
fn gateway(target: &Target, options: &[&str]) -> Server {
    let args = [options, &["127.0.0.1:0", &target.address]].concat();
    Server::launch(&mut limited(1024, open_files_max().min(1 << 20), &Server::arguments(&args)))
}

/// How many sessions there are: half as many over TLS, since the TLS between takes two more files for each. `None`
/// where this many files are not allowed.
fn sessions_at_once(variable: &str, default: usize) -> Option<usize> {
    let most = size(variable, default);
    may_open(2 * most as u64 + 300).then_some(if Server::IS_SECURE { most / 2 } else { most })
}

/// `count` sessions of which the test has both ends.
fn sessions(server: &Server, target: &Target, count: usize) -> Vec<(Client, Wire)> {
    (0..count).map(|_| (Client::open(server), target.accept())).collect()
}

#[test]
fn many_sessions_each_get_their_own_bytes_also_beside_stalled_ones() {
    let Some(count) = sessions_at_once("WEBSOCKIFY_SESSIONS", 600) else { return };
    let target = Target::tcp();
    let server = gateway(&target, &[]);
    let stalled: Vec<(Client, Flood)> = (0..50)
        .map(|_| {
            let client = Client::connect_narrow(&server).upgrade();
            let flood = Flood::pattern(target.accept(), 1 << 30);
            (client, flood)
        })
        .collect();
    stalled.iter().for_each(|(_, flood)| flood.wait_for_stall());
    let memory = server.memory_kib();
    let mut sessions = sessions(&server, &target, count);
    let mut random = Random::new(7);
    for _ in 0..4 {
        // Everybody sends before anybody is read.
        let parts: Vec<&[u8]> = (0..count)
            .map(|number| &pattern_at(number as u64 * 7919)[..1 + random.below(16 * 1024)])
            .collect();
        for ((client, wire), part) in sessions.iter_mut().zip(&parts) {
            client.send_binary(part);
            wire.send(&part[part.len() / 2..]);
        }
        for ((client, wire), part) in sessions.iter_mut().zip(&parts) {
            assert!(wire.read_exactly(part.len()) == *part, "a session got other bytes up");
            let half = &part[part.len() / 2..];
            assert!(client.data(half.len()) == half, "a session got other bytes down");
        }
    }
    let each = server.memory_kib().saturating_sub(memory) as f64 / count as f64;
    println!("{count} sessions beside {} stalled ones: {each:.2} KiB each", stalled.len());
    assert!(each <= 16.0, "{each:.1} KiB for each of {count} sessions");
    drop(sessions);
    stalled.into_iter().for_each(|(_, flood)| flood.abandon());
}

#[test]
fn idle_sessions_cost_little_memory_and_no_time() {
    let Some(count) = sessions_at_once("WEBSOCKIFY_IDLE", 200) else { return };
    let window = Duration::from_secs(size("WEBSOCKIFY_IDLE_SECONDS", 2) as u64);
    let target = Target::tcp();
    let server = gateway(&target, &[]);
    drop(sessions(&server, &target, 1));
    let memory = server.memory_kib();
    let mut sessions = sessions(&server, &target, count);
    for (client, wire) in &mut sessions {
        client.send_binary(b"awake");
        assert_eq!(wire.read_exactly(5), b"awake");
    }
    // Rings that were of use so far go back to the system first.
    crate::common::eventually("the memory to be given back", || {
        server.memory_kib() < memory + 1024 + 16 * count as u64
    });
    let (start, spent) = (Instant::now(), server.cpu_time());
    std::thread::sleep(window);
    let share = (server.cpu_time() - spent).as_secs_f64() / start.elapsed().as_secs_f64();
    let each = server.memory_kib().saturating_sub(memory) as f64 / count as f64;
    println!("{count} idle sessions: {each:.2} KiB each, {:.3} % of a core over {window:?}", share * 100.0);
    assert!(each <= 16.0, "{each:.1} KiB for each of {count} sessions");
    // The clock of processes counts hundredths of a second.
    let least = 0.02 / window.as_secs_f64();
    assert!(share <= least.max(0.002), "{:.2} % of a core for idle sessions", share * 100.0);
    for (client, wire) in &mut sessions {
        wire.send(b"good morning");
        assert_eq!(client.data(12), b"good morning");
    }
}
