//! What a recording costs: CPU time of the proxy for a GiB of random bytes, from target to client and the other
//! way, recorded and not, ours beside the Python program's. Recordings go to a tmpfs.
//!
//! `cargo bench --bench recording`; `WEBSOCKIFY_RECORDING_MIB` says how much each run moves (1024),
//! `WEBSOCKIFY_RECORDING_ROUNDS` how often (5), `WEBSOCKIFY_PYTHON` names a Python that has websockify 0.13.0, and
//! `WEBSOCKIFY_BIN` names another program than the one built here. The demand: at most 2 s beyond the same session
//! unrecorded, in the median of the rounds.
//!
//! The yardstick is to write as much text as the recording of a GiB has and nothing else. It is written before each
//! recorded run, too, so that memory which a virtual machine's host has yet to find is not taken for a cost of either.

#[path = "../tests/common/mod.rs"]
#[allow(dead_code, reason = "the bench uses a part of what the integration tests share")]
mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::client::Client;
use common::eventually;
use common::frame::Frame;
use common::process::size;
use common::random::Random;
use common::server::{Server, command};
use common::target::Target;
use common::wire::Wire;

/// Who relays.
#[derive(Clone, Copy, PartialEq)]
enum Proxy {
    Ours,
    Python,
}

fn main() {
    let total = (size("WEBSOCKIFY_RECORDING_MIB", 1024) as u64) << 20;
    let rounds = size("WEBSOCKIFY_RECORDING_ROUNDS", 5);
    let python = std::env::var("WEBSOCKIFY_PYTHON").is_ok();
    let proxies: &[Proxy] = if python { &[Proxy::Ours, Proxy::Python] } else { &[Proxy::Ours] };
    let directory = ["/dev/shm", "/tmp"].into_iter().find(|path| Path::new(path).is_dir()).unwrap_or(".");
    println!(
        "{} MiB of random bytes, recorded to {directory}; CPU seconds per GiB, {rounds} rounds",
        total >> 20
    );
    let mut missed = false;
    let mut yardstick = Vec::new();
    for down in [true, false] {
        for &proxy in proxies {
            let per_gib = (1_u64 << 30) as f64 / total as f64;
            let mut runs = [Vec::new(), Vec::new()];
            for _ in 0..rounds {
                for recorded in [false, true] {
                    let file = format!("{directory}/websockify-bench-{}", std::process::id());
                    if recorded {
                        write_plainly(&file, total);
                        yardstick.push(write_plainly(&file, total).as_secs_f64() * per_gib);
                    }
                    let spent = run(proxy, down, total, recorded.then_some(file.as_str()));
                    runs[usize::from(recorded)].push(spent.as_secs_f64() * per_gib);
                }
            }
            let mut beyond: Vec<f64> =
                runs[0].iter().zip(&runs[1]).map(|(plain, taped)| taped - plain).collect();
            let name = match proxy {
                Proxy::Ours => "ours",
                Proxy::Python => "Python websockify",
            };
            let way = if down { "target to client" } else { "client to target" };
            let [plain, recorded] = runs.each_mut().map(|runs| median(runs));
            let more = median(&mut beyond);
            println!(
                "{way}, {name}: {plain:.2} s unrecorded, {recorded:.2} s recorded, {more:.2} s beyond \
                 ({:.2} to {:.2})",
                beyond[0],
                beyond[beyond.len() - 1]
            );
            missed |= proxy == Proxy::Ours && more > BEYOND_MAX;
        }
    }
    println!("writing such a file and nothing else: {:.2} s", median(&mut yardstick));
    if missed {
        println!("missed: at most {BEYOND_MAX} s are to be spent on a recording");
        std::process::exit(1);
    }
}

/// Seconds for a GiB beyond the same session unrecorded.
const BEYOND_MAX: f64 = 2.0;

/// Moves `total` bytes through a fresh proxy and says what CPU time that took it.
fn run(proxy: Proxy, down: bool, total: u64, record: Option<&str>) -> Duration {
    let target = Target::tcp();
    let options: Vec<&str> = record.map_or(vec![], |file| vec!["--record", file]);
    let mut server = start(proxy, &options, &target.address);
    let client = Client::open(&server);
    let wire = target.accept();
    let before = spent(&server);
    let mut random = Random::new(7);
    // Long enough that it does not come from a cache as small as a core's.
    let block = random.bytes(1 << 20);
    if down {
        let sending = {
            let wire = wire.twin();
            std::thread::spawn(move || send(&wire, &block, total))
        };
        let (mut moved, mut space) = (0, vec![0; 256 << 10]);
        // Frames need not be taken apart: their headers come on top, and the Close ends it.
        while moved < total {
            let count = (&client.wire.0).read(&mut space).expect("data");
            moved += count as u64;
        }
        sending.join().expect("sent");
    } else {
        let frames: Vec<u8> = block.chunks(64_000).flat_map(|part| Frame::binary(part).bytes()).collect();
        let per_block = block.len() as u64;
        let sending = {
            let wire = client.wire.twin();
            std::thread::spawn(move || {
                (0..total / per_block).for_each(|_| send(&wire, &frames, frames.len() as u64))
            })
        };
        let (mut moved, mut space) = (0, vec![0; 256 << 10]);
        while moved < total / per_block * per_block {
            moved += (&wire.0).read(&mut space).expect("data") as u64;
        }
        sending.join().expect("sent");
    }
    client.wire.finish();
    wire.finish();
    let mut rest = vec![0; 256 << 10];
    while matches!((&client.wire.0).read(&mut rest), Ok(count) if count > 0) {}
    while matches!((&wire.0).read(&mut rest), Ok(count) if count > 0) {}
    let spent = match record {
        Some(file) => {
            let name = server.log.wait_for("opening record file: ");
            let name = name.rsplit(' ').next().unwrap_or(file).to_owned();
            let ending = |name: &str| {
                let mut tail = [0; 8];
                let file = std::fs::File::open(name).ok()?;
                let length = file.metadata().ok()?.len();
                std::os::unix::fs::FileExt::read_exact_at(&file, &mut tail, length.checked_sub(8)?).ok()?;
                Some(tail)
            };
            eventually("the recording has ended", || ending(&name).as_ref() == Some(b"'EOF'];\n"));
            let spent = settled(&server, proxy);
            let _ = std::fs::remove_file(name);
            spent
        }
        None => settled(&server, proxy),
    };
    server.signal("TERM");
    server.wait();
    spent - before
}

/// Writes a file as long as the recording of `total` random bytes, and says what CPU time of this process it took.
fn write_plainly(path: &str, total: u64) -> Duration {
    let text = vec![b'-'; 128 << 10];
    let length = (total as f64 * TEXT_PER_BYTE) as u64;
    let before = spent_by(std::process::id());
    let mut file = std::fs::File::create(path).expect("a file");
    let mut written = 0;
    while written < length {
        file.write_all(&text).expect("room");
        written += text.len() as u64;
    }
    let spent = spent_by(std::process::id()) - before;
    drop(file);
    std::fs::remove_file(path).expect("removed");
    spent
}

/// Characters of a random byte's text: 93 of 256 bytes take one, 5 take two and the others four.
const TEXT_PER_BYTE: f64 = (93.0 + 5.0 * 2.0 + 158.0 * 4.0) / 256.0;

fn start(proxy: Proxy, options: &[&str], target: &str) -> Server {
    match proxy {
        Proxy::Ours => Server::launch(&mut command(&[options, &["127.0.0.1:0", target]].concat())),
        Proxy::Python => {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let mut python = Command::new(std::env::var("WEBSOCKIFY_PYTHON").expect("looked at before"));
            python.args(["-m", "websockify"]).args(options).args([&format!("127.0.0.1:{port}"), target]);
            let mut server = Server::spawn(python.stdin(Stdio::null()).stderr(Stdio::piped()));
            server.log.wait_for("  - proxying from ");
            server.port = port;
            server
        }
    }
}

fn send(wire: &Wire, block: &[u8], total: u64) {
    let mut left = total;
    while left > 0 {
        let part = &block[..block.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        (&wire.0).write_all(part).expect("the proxy takes it");
        left -= part.len() as u64;
    }
}

/// CPU time of a process and of its children that have ended.
fn spent(server: &Server) -> Duration {
    spent_by(server.pid())
}

fn spent_by(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: u64 = (11..15).filter_map(|at| fields[at].parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The same once the session's process, where there is one, has ended and been waited for.
fn settled(server: &Server, proxy: Proxy) -> Duration {
    if proxy == Proxy::Python {
        let start = Instant::now();
        while server.children() > 0 && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    spent(server)
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
