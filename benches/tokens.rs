//! What tokens cost: a lookup in a file of 100,000 lines that has not changed, the parsing of it, and what the
//! opening of a session costs the gateway with a token file and without one; and lookups in Redis.
//!
//! `cargo bench --bench tokens`, or a part: `cargo bench --bench tokens -- lookup`, `-- openings`, `-- redis`. Openings
//! are measured as CPU time of the gateway's process, so both kinds of them take turns, and the medians of the rounds
//! are compared.

#[path = "../tests/common/mod.rs"]
#[allow(dead_code, reason = "the bench uses a part of what the integration tests share")]
mod common;

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use common::Scratch;
use common::client::{Client, UPGRADE};
use common::redis::Redis;
use common::server::Server;
use common::target::Target;
use criterion::Criterion;
use websockify::log::Log;
use websockify::token::{self, Answer, Remote, Source};

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|arg| name.contains(arg.as_str()));
    if wants("lookup") || wants("parse") {
        let mut criterion = Criterion::default().configure_from_args();
        look_ups(&mut criterion);
        criterion.final_summary();
    }
    if wants("redis") {
        redis();
    }
    if wants("openings") {
        openings();
    }
}

/// Lookups a second in a Redis server on this machine, by this many at a time.
fn redis() {
    let Some(server) = Redis::start(&[]) else { return };
    server.set("token", "desktop.example.org:5900");
    let source = Source {
        text: Some(server.address().into()),
        directory: "/".into(),
        web: None,
        log: Arc::new(Log::in_memory(false)),
        remote: Remote::default(),
        python: None,
    };
    let plugin = token::open(token::plugin("TokenRedis").expect("a plugin"), &source).expect("a plugin");
    for threads in [1, 4, 32] {
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..REDIS_LOOK_UPS / threads {
                        assert!(matches!(plugin.look_up("token"), Answer::Found(..)));
                    }
                });
            }
        });
        let rate = REDIS_LOOK_UPS as f64 / begin.elapsed().as_secs_f64();
        println!("redis: {rate:.0} lookups a second by {threads} at a time");
    }
}

fn lines(address: &str) -> String {
    (0..LINES).map(|number| format!("token-number-{number}: {address}\n")).collect()
}

fn look_ups(criterion: &mut Criterion) {
    let scratch = Scratch::new();
    let path = scratch.path("tokens");
    fs::write(&path, lines("desktop.example.org:5900")).expect("written");
    // Old enough to be kept.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let source = Source {
        text: Some(path.clone().into()),
        directory: "/".into(),
        web: None,
        log: Arc::new(Log::in_memory(false)),
        remote: Remote::default(),
        python: None,
    };
    let plugin = token::open(token::plugin("TokenFile").expect("a plugin"), &source).expect("a plugin");
    let mut number = 0;
    criterion.bench_function("lookup in 100,000 lines", |bencher| {
        bencher.iter(|| {
            number = (number + 7919) % LINES;
            let answer = plugin.look_up(black_box(&format!("token-number-{number}")));
            assert!(matches!(answer, Answer::Found(..)));
        });
    });
    let bytes = fs::read(&path).expect("read");
    let mut slow = criterion.benchmark_group("parse");
    slow.sample_size(10);
    slow.bench_function("100,000 lines", |bencher| bencher.iter(|| token::count_tokens(black_box(&bytes))));
}

/// CPU time of an opening: connect, upgrade, close.
fn openings() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    fs::write(scratch.path("tokens"), lines(&target.address)).expect("written");
    let plain = Server::relay(&target.address);
    let source = scratch.arg("tokens");
    let tokens = Server::start(&["--token-plugin", "TokenFile", "--token-source", &source, "127.0.0.1:0"]);
    let mut rounds = (Vec::new(), Vec::new());
    round(&plain);
    round(&tokens);
    for _ in 0..ROUNDS {
        rounds.0.push(round(&plain));
        rounds.1.push(round(&tokens));
    }
    let (plain, tokens) = (median(&mut rounds.0), median(&mut rounds.1));
    println!(
        "an opening: {plain:.1} µs of CPU without tokens, {tokens:.1} µs with a file of {LINES} lines, \
         {:.1} µs more (medians of {ROUNDS} rounds of {OPENINGS} openings)",
        tokens - plain
    );
}

/// Opens many sessions, one after the other, and returns the gateway's CPU time of each in microseconds.
fn round(server: &Server) -> f64 {
    let before = cpu_us(server.pid());
    for number in 0..OPENINGS {
        let mut client = Client::connect(server);
        let request = UPGRADE.replace("GET / ", &format!("GET /?token=token-number-{number} "));
        assert_eq!(client.ask(request.as_bytes()).status, 101);
        client.close();
    }
    (cpu_us(server.pid()) - before) / OPENINGS as f64
}

/// What all threads of a process have used, those that have ended included.
fn cpu_us(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the gateway runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).expect("a number");
    // User and system time, in hundredths of a second.
    (ticks(11) + ticks(12)) * 10_000.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const REDIS_LOOK_UPS: usize = 64_000;

const LINES: usize = 100_000;

const ROUNDS: usize = 9;

/// Enough that a hundredth of a second is two microseconds of each.
const OPENINGS: usize = 5_000;
