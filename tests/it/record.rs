//! Recordings of sessions: what is in them, what they are called, what a kill and the disk can do to them, and
//! that a session never ends for its recording.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Server;
use crate::common::client::Client;
use crate::common::flow::{Check, pattern, pattern_at};
use crate::common::frame::Frame;
use crate::common::process::{limited, size};
use crate::common::random::Random;
use crate::common::script::{self, Entry};
use crate::common::server::{command, program};
use crate::common::target::Target;
use crate::common::wire::Wire;
use crate::common::{Scratch, eventually, free_port, has, skipped, text};

/// A session whose two ends are in hand.
fn session(server: &Server, target: &Target) -> (Client, Wire) {
    (Client::open(server), target.accept())
}

/// One message each way at a time, so that every proxy sees each by itself.
fn talk(client: &mut Client, wire: &mut Wire, opened: impl Fn(usize)) {
    let mut entries = 0;
    let all: Vec<u8> = (0..=255).collect();
    let backwards: Vec<u8> = (0..=255).rev().collect();
    let slashes = b"*/".repeat(3000);
    for (up, down) in [
        (&b"RFB 003.008\n"[..], &b"RFB 003.008\n"[..]),
        (all.as_slice(), backwards.as_slice()),
        (b"a'b\"c\\d{e}f</script>*/", b"${x}`//\x00'EOF'];\n"),
        (b"\xe2\x80\xa8", slashes.as_slice()),
        (b"", b"x"),
    ] {
        wire.send(down);
        assert_eq!(client.data(down.len()), down);
        entries += 1;
        opened(entries);
        client.send_binary(up);
        assert_eq!(wire.read_exactly(up.len()), up);
        entries += 1;
        opened(entries);
    }
    // Two messages in one segment, and one of two fragments.
    client.wire.send(&[Frame::binary(b"one").bytes(), Frame::binary(b"two").bytes()].concat());
    assert_eq!(wire.read_exactly(6), b"onetwo");
    opened(entries + 2);
    client.wire.send(&[Frame::binary(b"thr").more().bytes(), Frame::new(0, b"ee").bytes()].concat());
    assert_eq!(wire.read_exactly(5), b"three");
    opened(entries + 3);
}

/// Waits until this many entries are in the file.
fn recorded(path: &Path, count: usize) {
    eventually("the entries are on the disk", || {
        path.exists() && script::parse(&fs::read(path).expect("a file")).is_ok_and(|all| all.len() >= count)
    });
}

/// Sends a signal to the process whose number is in a file.
fn signal(name: &str, file: &Path) {
    let number = fs::read_to_string(file).expect("a number");
    let status = Command::new("kill").args([&format!("-{name}"), number.trim()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {number}");
}

#[test]
fn a_recording_is_the_python_program_s_byte_for_byte() {
    let Some(python) = std::env::var_os("WEBSOCKIFY_PYTHON") else {
        return skipped("WEBSOCKIFY_PYTHON does not name a Python with websockify 0.13.0");
    };
    let scratch = Scratch::new();
    let target = Target::tcp();
    let (ours, theirs) = (scratch.path("ours.1"), scratch.arg("theirs"));
    let mut server = Server::relay_with(&target.address, &["--record", &scratch.arg("ours")]);
    let (mut client, mut wire) = session(&server, &target);
    talk(&mut client, &mut wire, |count| recorded(&ours, count));
    client.close();
    server.signal("TERM");
    server.wait();

    let port = free_port();
    let mut python = Command::new(python);
    python.args(["-m", "websockify", "--record", &theirs, &format!("127.0.0.1:{port}"), &target.address]);
    let mut server = Server::spawn(python.stdin(Stdio::null()).stderr(Stdio::piped()));
    server.port = port;
    eventually("the Python program listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let (mut client, mut wire) = session(&server, &target);
    let opened = server.log.wait_for("opening record file: ");
    let theirs = opened.rsplit(' ').next().expect("a name").to_owned();
    // It writes when its buffer is full, or at the end; a pause shows it each message by itself.
    talk(&mut client, &mut wire, |_| std::thread::sleep(Duration::from_millis(150)));
    client.close();
    eventually("the recording has ended", || fs::read(&theirs).expect("a file").ends_with(b"'EOF'];\n"));
    let [ours, theirs] = [&ours, Path::new(&theirs)].map(|path| fs::read(path).expect("a recording"));
    assert_eq!(script::without_times(&ours), script::without_times(&theirs));
    server.signal("TERM");
    server.wait();
}

#[test]
fn every_byte_of_both_directions_is_in_the_recording() {
    let scratch = Scratch::new();
    let target = Target::tcp();
    let mut server = Server::relay_with(&target.address, &["--record", &scratch.arg("np")]);
    let path = scratch.path("np.1");
    let (mut client, mut wire) = session(&server, &target);
    talk(&mut client, &mut wire, |count| recorded(&path, count));
    let total = 3 << 20;
    let up = client.flood(total, 40_000);
    let sending = {
        let mut wire = wire.twin();
        std::thread::spawn(move || wire.send_pattern(total))
    };
    client.check_data(total);
    let mut check = Check::default();
    let mut space = vec![0; 1 << 16];
    while check.position < total {
        let count = wire.read_some(&mut space);
        check.take(&space[..count]);
    }
    sending.join().expect("sent");
    drop(up);
    client.close();
    server.signal("TERM");
    server.wait();
    let entries = script::read(&path);
    for mark in [b'{', b'}'] {
        let stream = script::stream(&entries, mark);
        assert!(stream.ends_with(&pattern(total as usize)), "{}", char::from(mark));
    }
    assert!(entries.iter().all(|entry| entry.payload.len() <= 128 << 10));
    assert!(entries.iter().all(|entry| entry.mark == b'}' || entry.payload.len() <= 64 << 10));
    assert!(entries.is_sorted_by_key(|entry| entry.ms));
    script::run_by_node(&[text(&path)]);
}

#[test]
fn a_recording_is_private_and_named_by_the_connection_and_never_overwrites_anything() {
    let scratch = Scratch::new();
    let target = Target::tcp();
    fs::write(scratch.path("np.3"), "old").expect("written");
    std::os::unix::fs::symlink(scratch.path("elsewhere"), scratch.path("np.3.1")).expect("a link");
    // Relative names mean the start directory, whatever the web root is.
    fs::create_dir(scratch.path("web")).expect("a directory");
    fs::write(scratch.path("web/a.txt"), "a").expect("written");
    let mut command = command(&["--record=np", "--web", "web", "127.0.0.1:0", &target.address]);
    let server = Server::launch(command.current_dir(scratch.path("")));
    assert_eq!(server.log.count(&format!("  - Recording to '{}.*'", scratch.arg("np"))), 1);
    // A page and a probe count, too.
    let mut page = Client::connect(&server);
    page.wire.send(b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(page.read_answer_to_end().body, "a");
    drop(Client::connect(&server));
    let (client, _wire) = session(&server, &target);
    let line = server.log.wait_for("opening record file: ");
    assert!(line.ends_with(&scratch.arg("np.3.2")), "{line}");
    let path = scratch.path("np.3.2");
    assert_eq!(fs::metadata(&path).expect("a recording").permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read(scratch.path("np.3")).expect("the old one"), b"old");
    assert!(!scratch.path("elsewhere").exists());
    let lines = server.log.lines();
    let at = |text: &str| lines.iter().position(|line| line.contains(text));
    assert!(at("WebSocket connection") < at("opening record file") && at("opening record file").is_some());
    server.log.wait_for("connecting to");
    drop(client);
}

#[test]
fn a_session_without_a_target_leaves_a_recording_without_entries() {
    let scratch = Scratch::new();
    let target = Target::refusing();
    let mut server = Server::relay_with(&target.address, &["--record", &scratch.arg("np")]);
    let mut client = Client::open(&server);
    client.closed_with(1011);
    server.signal("TERM");
    server.wait();
    assert_eq!(fs::read(scratch.path("np.1")).expect("a file"), b"var VNC_frame_data = [\n'EOF'];\n");
}

#[test]
fn input_is_left_out_on_demand() {
    let scratch = Scratch::new();
    let target = Target::tcp();
    let options = ["--record", &scratch.arg("np"), "--record-input", "no"];
    let mut server = Server::relay_with(&target.address, &options);
    let (mut client, mut wire) = session(&server, &target);
    client.send_binary(b"password");
    assert_eq!(wire.read_exactly(8), b"password");
    wire.send(b"welcome");
    client.data(7);
    client.close();
    server.signal("TERM");
    server.wait();
    let entries = script::read(&scratch.path("np.1"));
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].mark, entries[0].payload.as_slice()), (b'{', &b"welcome"[..]));
}

/// Kills the gateway while it records floods in both directions, `WEBSOCKIFY_RECORD_KILLS` times (20).
#[test]
fn a_kill_at_any_moment_leaves_a_script_that_has_what_was_recorded() {
    let kills = size("WEBSOCKIFY_RECORD_KILLS", 20);
    let seed = size("WEBSOCKIFY_SEED", 1) as u64;
    let mut random = Random::new(seed);
    let scratch = Scratch::new();
    let mut entries = 0;
    let mut files = Vec::new();
    let mut torn = 0;
    for round in 0..kills {
        let target = Target::tcp();
        let mut server = Server::relay_with(&target.address, &["--record", &scratch.arg("np")]);
        let (client, wire) = session(&server, &target);
        // Frames and segments of many sizes: many entries in a batch, and entries longer than a batch.
        let size = random.one_of(&[7, 300, 4000, 60_000]);
        let flood = client.flood(1 << 40, size);
        let down = wire.twin();
        let sending = std::thread::spawn(move || {
            let mut position = 0;
            loop {
                let part = &pattern_at(position)[..size];
                if std::io::Write::write_all(&mut &down.0, part).is_err() {
                    return drop(down.0.shutdown(std::net::Shutdown::Both));
                }
                position += size as u64;
            }
        });
        let drains = [client.wire.twin(), wire.twin()].map(|wire| {
            std::thread::spawn(move || {
                let mut space = vec![0; 1 << 16];
                while matches!(std::io::Read::read(&mut &wire.0, &mut space), Ok(count) if count > 0) {}
            })
        });
        let delay = Duration::from_micros(random.below(60_000) as u64);
        server.log.wait_for("opening record file");
        let until = Instant::now() + delay;
        while Instant::now() < until {
            std::thread::yield_now();
        }
        server.signal("KILL");
        server.wait();
        drop(flood);
        sending.join().expect("ended");
        drains.into_iter().for_each(|drain| drain.join().expect("ended"));
        let opened = server.log.wait_for("opening record file: ");
        let path = opened.rsplit(' ').next().expect("a name").to_owned();
        let file = fs::read(&path).expect("a recording");
        let all = script::read(Path::new(&path));
        for mark in [b'{', b'}'] {
            let mut check = Check::default();
            all.iter().filter(|entry| entry.mark == mark).for_each(|entry| check.take(&entry.payload));
        }
        entries += all.len();
        torn += usize::from(!file.ends_with(b"'EOF']//"));
        files.push(path);
        if files.len() == 50 || round + 1 == kills {
            script::run_by_node(&files);
            files.drain(..).for_each(|file| fs::remove_file(file).expect("removed"));
        }
    }
    println!(
        "{kills} kills, seed {seed}: {entries} entries were valid, {torn} files had a torn batch behind them"
    );
    assert!(entries > 10 * kills, "hardly anything was recorded");
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_session() {
    if !has("unshare") {
        return;
    }
    let scratch = Scratch::new();
    let target = Target::tcp();
    let disk = scratch.arg("disk");
    fs::create_dir(&disk).expect("a directory");
    // A mount of its own; what was recorded is copied out of it, since nobody else can look in.
    let script = format!(
        "mount -t tmpfs -o size=1m none {disk} || exit 77; {} -v --record {disk}/np 127.0.0.1:0 {} & \
         echo $! >{disk}.pid; wait $!; cat {disk}/np.1 >{disk}.1",
        program(),
        target.address
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).stdin(Stdio::null());
    let mut server = Server::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    eventually("it listens or can't be started", || {
        server.log.count("  - proxying from ") == 1 || !server.is_running()
    });
    if !server.is_running() {
        return skipped("a mount needs root");
    }
    server.wait_until_it_listens();
    let (mut client, mut wire) = session(&server, &target);
    let total = 8 << 20;
    let sending = {
        let mut wire = wire.twin();
        std::thread::spawn(move || wire.send_pattern(total))
    };
    client.check_data(total);
    sending.join().expect("sent");
    let line = server.log.wait_for("np.1 ended: ");
    assert!(line.contains("No space left on device"), "{line}");
    client.send_binary(b"and on");
    assert_eq!(wire.read_exactly(6), b"and on");
    // There is no room for another one, which is said, too, and leaves nothing.
    let (mut second, mut wire) = session(&server, &target);
    wire.send(b"second");
    second.data(6);
    client.close();
    second.close();
    signal("TERM", &scratch.path("disk.pid"));
    server.wait();
    assert_eq!(server.log.count("np.1 ended: "), 1);
    let entries = script::read(&scratch.path("disk.1"));
    let down = script::stream(&entries, b'{');
    assert!(down.len() > 100_000 && pattern(total as usize).starts_with(&down), "{}", down.len());
    assert!(fs::read(scratch.path("disk.1")).expect("a copy").ends_with(b"\n'EOF'];\n"));
    let failed = server.log.wait_for("recordings begun: 2, ended before their sessions: ");
    assert!(!failed.ends_with(": 0"), "{failed}");
}

#[test]
fn a_limit_of_file_sizes_ends_the_recording_and_not_the_session() {
    let scratch = Scratch::new();
    let target = Target::tcp();
    // 200 KiB. The signal that goes with the limit ends a program that does not ignore it.
    let script = format!(
        "ulimit -f 400; exec {} --record {} 127.0.0.1:0 {}",
        program(),
        scratch.arg("np"),
        target.address
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::launch(&mut command);
    let (mut client, mut wire) = session(&server, &target);
    let total = 2 << 20;
    let sending = std::thread::spawn(move || {
        wire.send_pattern(total);
        wire
    });
    client.check_data(total);
    let mut wire = sending.join().expect("sent");
    let line = server.log.wait_for("np.1 ended: ");
    assert!(line.contains("File too large"), "{line}");
    client.send_binary(b"and on");
    assert_eq!(wire.read_exactly(6), b"and on");
    client.close();
    server.signal("TERM");
    server.wait();
    let down = script::stream(&script::read(&scratch.path("np.1")), b'{');
    assert!(down.len() > 10_000 && pattern(total as usize).starts_with(&down), "{}", down.len());
    assert!(fs::read(scratch.path("np.1")).expect("a file").ends_with(b"\n'EOF'];\n"));
}

#[test]
fn a_directory_that_is_not_there_costs_one_line_and_no_session() {
    let scratch = Scratch::new();
    let target = Target::tcp();
    let server = Server::relay_with(&target.address, &["--record", &scratch.arg("missing/np")]);
    let (mut client, mut wire) = session(&server, &target);
    for _ in 0..3 {
        wire.send(b"still there");
        client.data(11);
        client.send_binary(b"so am I");
        wire.read_exactly(7);
    }
    let line = server.log.wait_for("missing/np.1 ended: ");
    assert!(line.contains("No such file or directory"), "{line}");
    client.close();
    assert_eq!(server.log.count("np.1"), 1);
}

#[test]
fn a_slow_disk_slows_the_session_that_needs_it_and_holds_little_for_it() {
    if !has("strace") {
        return;
    }
    let scratch = Scratch::new();
    let target = Target::tcp();
    let record = scratch.arg("np");
    // Every write to a file takes 50 ms longer; sockets are written with another call.
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64"]);
    command.args(["-e", "inject=pwrite64:delay_enter=50000", "sh", "-c"]);
    let (program, pid, to) = (program(), scratch.arg("pid"), &target.address);
    command.arg(format!("echo $$ >{pid}; exec {program} --record {record} 127.0.0.1:0 {to}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::spawn(&mut command);
    eventually("it listens or can't be started", || {
        server.log.count("  - proxying from ") == 1 || !server.is_running()
    });
    if !server.is_running() {
        return skipped("strace may not trace here");
    }
    server.wait_until_it_listens();
    let (mut bulk, wire) = session(&server, &target);
    let (mut quiet, mut echo) = session(&server, &target);
    let sending = {
        let wire = wire.twin();
        std::thread::spawn(move || {
            let mut position = 0;
            while position < 256 << 20 {
                let part = &pattern_at(position)[..60_000];
                if std::io::Write::write_all(&mut &wire.0, part).is_err() {
                    return;
                }
                position += part.len() as u64;
            }
            wire.finish();
        })
    };
    let pid = fs::read_to_string(scratch.path("pid")).expect("a number");
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon is there");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB")
    };
    let mut most = memory();
    let before = most;
    // The bulk session comes to what the disk takes.
    let mut moved = 0;
    let start = Instant::now();
    let mut worst = Duration::ZERO;
    while moved < 2 << 20 {
        moved += bulk.frame().payload.len();
        let sent = Instant::now();
        quiet.send_binary(b"key");
        assert_eq!(echo.read_exactly(3), b"key");
        worst = worst.max(sent.elapsed());
        most = most.max(memory());
    }
    let took = start.elapsed();
    println!(
        "{moved} bytes of the recorded flood took {took:?}, and the longest keystroke beside it {worst:?}"
    );
    println!("before {before} KiB of memory, {most} KiB at the most");
    assert!(took > Duration::from_millis(500), "the disk was not slow: {took:?}");
    // Two rings and a queue, and what a thread needs that writes; upstream of a slow disk nothing more is held.
    assert!(most - before < 2 * 1024, "the slow disk's session holds {} KiB", most - before);
    drop(bulk);
    quiet.close();
    signal("KILL", &scratch.path("pid"));
    server.wait();
    drop(wire);
    sending.join().expect("ended");
    let all: Vec<Entry> = script::read(&scratch.path("np.1"));
    assert!(pattern(4 << 20).starts_with(&script::stream(&all, b'{')));
}

#[test]
fn the_descriptors_of_recordings_count_among_those_of_connections() {
    let scratch = Scratch::new();
    let record = scratch.arg("np");
    let lines = |more: &[&str]| {
        let arguments = [more, &["--max-connections", "20", "127.0.0.1:0", "127.0.0.1:9"]].concat();
        let server = Server::launch(&mut limited(100, 100, &arguments));
        server.log.count("--max-connections 20 needs more than the 100 open files allowed (ulimit -n): ")
    };
    assert_eq!(lines(&[]), 0);
    assert_eq!(lines(&["--record", &record]), 1);
}
