//! Keystrokes beside bulk: one session echoes small messages while four others move as many bytes as they
//! can, two in each direction. Prints how long an echo takes, first alone, then beside them.
//!
//! `cargo bench --bench fairness`; `WEBSOCKIFY_BIN` names another program that takes the same command line,
//! `WEBSOCKIFY_FAIRNESS_SECONDS` says how long (5). Meant for a machine with a core to spare.

#[path = "../tests/common/mod.rs"]
#[allow(dead_code, reason = "the bench uses a part of what the integration tests share")]
mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::client::Client;
use common::flow::pattern;
use common::frame::Frame;
use common::process::size;
use common::server::Server;
use common::target::{Target, echo};

fn main() {
    let window = Duration::from_secs(size("WEBSOCKIFY_FAIRNESS_SECONDS", 5) as u64);
    let target = Target::tcp();
    let server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    let wire = target.accept();
    std::thread::spawn(move || echo(wire));
    println!("alone:          {}", echoes(&mut client, window));

    let (moved, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut threads = Vec::new();
    for number in 0..4 {
        let bulk = Client::open(&server);
        let (from, to) = match number % 2 {
            0 => (bulk.wire, target.accept()),
            _ => (target.accept(), bulk.wire),
        };
        let chunk =
            if number % 2 == 0 { Frame::binary(&pattern(64 << 10)).bytes() } else { pattern(64 << 10) };
        let (sent, stopped) = (Arc::clone(&moved), Arc::clone(&stop));
        threads.push(std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && (&from.0).write_all(&chunk).is_ok() {
                sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
        }));
        threads.push(std::thread::spawn(move || {
            let mut space = vec![0; 256 << 10];
            while matches!((&to.0).read(&mut space), Ok(count) if count > 0) {}
        }));
    }
    let start = Instant::now();
    let beside = echoes(&mut client, window);
    let rate = moved.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64() / f64::from(1 << 20);
    println!("beside 4 bulks: {beside}   bulk: {rate:.0} MiB/s in all");
    stop.store(true, Ordering::Relaxed);
    drop(server);
    for thread in threads {
        let _ = thread.join();
    }
}

/// How long echoes of 64 bytes take, one after the other with a pause, as a line of text.
fn echoes(client: &mut Client, window: Duration) -> String {
    let (start, message) = (Instant::now(), pattern(64));
    let mut times = Vec::new();
    while start.elapsed() < window {
        let sent = Instant::now();
        client.echo(&message);
        times.push(sent.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("{} echoes, p50 {:?}, p99 {:?}, longest {:?}", times.len(), at(0.5), at(0.99), at(1.0))
}
