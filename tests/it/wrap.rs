//! A program that is wrapped: it listens on the port that it was told, is served on ours, and what its end and ours mean
//! for each other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Server;
use crate::common::background::{self, Background};
use crate::common::client::Client;
use crate::common::frame::Frame;
use crate::common::server::{self, command};
use crate::common::{Scratch, eventually, has, skipped};

/// What Python programs of these tests begin with. None outlives its test for long.
const PRELUDE: &str = "
import os, signal, socket, sys, time
signal.alarm(120)
port = int(os.environ.get('REBIND_OLD_PORT', 0))
def listen():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('127.0.0.1', port))
    listener.listen()
    return listener
def echo(client):
    while data := client.recv(65536):
        client.sendall(data)
";

/// A gateway in front of a Python program.
fn python(options: &[&str], program: &str) -> Server {
    Server::launch(&mut python_command(options, program))
}

fn python_command(options: &[&str], program: &str) -> Command {
    let program = format!("{PRELUDE}{program}");
    command(&[options, &["127.0.0.1:0", "--", "python3", "-c", &program]].concat())
}

/// A gateway in front of a shell's script.
fn shell(options: &[&str], script: &str) -> Server {
    Server::launch(&mut command(&[options, &["127.0.0.1:0", "--", "sh", "-c", script]].concat()))
}

/// The number that a program has written to a file.
pub(super) fn number_in(path: &Path) -> u32 {
    let read = || fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    eventually("a number in a file", || read().is_some());
    read().expect("it was there")
}

/// Whether anything is left of a process group; what has ended and waits for its parent does not count.
pub(super) fn is_group_there(group: u32) -> bool {
    let stat = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let fields = |stat: String| {
        let rest = stat.rsplit_once(") ")?.1.to_owned();
        let mut words = rest.split(' ');
        Some((words.next()?.to_owned(), words.nth(1)?.parse::<u32>().ok()?))
    };
    let names = fs::read_dir("/proc").expect("processes").flatten();
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|name| stat(&name).and_then(fields))
        .any(|(state, of)| of == group && state != "Z")
}

#[test]
fn a_program_is_served_on_the_port_that_it_asked_for() {
    let server = python(&["-v"], "listener = listen()\nwhile True: echo(listener.accept()[0])");
    let start = server.log.wait_for("  - proxying from ");
    let port = server.port;
    assert!(start.contains(&format!("proxying from 127.0.0.1:{port} to 'python3 -c ")), "{start}");
    let mut client = Client::open(&server);
    client.echo(b"through a program of ours");
    let line = server.log.wait_for("connecting to command: 'python3 -c ");
    let new = line.rsplit_once("(port ").expect("its port").1.trim_end_matches(')').to_owned();
    assert!(start.ends_with(&format!("(port {new})")), "{start}\n{line}");
    client.close();
    server.log.wait_for(&format!("127.0.0.1:{new}: Client closed connection"));
}

#[test]
fn a_client_that_comes_before_its_program_listens_waits_and_is_served() {
    let server = python(&[], "time.sleep(2)\necho(listen().accept()[0])");
    Client::open(&server).echo(b"late");
    assert_eq!(server.log.count("Failed to connect"), 0);
}

#[test]
fn a_program_that_does_not_listen_is_a_1011_after_ten_seconds_with_the_reason_in_the_log() {
    let server = shell(&[], "exec sleep 60");
    let begin = Instant::now();
    let mut client = Client::open(&server);
    assert_eq!(client.closed(), (Some(1011), "Failed to connect to downstream server".to_owned()));
    assert!(begin.elapsed() >= Duration::from_secs(9), "{:?}", begin.elapsed());
    server.log.wait_for("[Errno 111] Connection refused (the wrapped program has not listened for 10 s)");
    server.signal("TERM");
}

#[test]
fn the_programs_code_becomes_ours() {
    for (script, code, returned) in [
        ("exit 0", 0, "0"),
        ("sleep 0.3; exit 3", 3, "3"),
        ("kill -9 $$", 137, "-9"),
        ("kill -TERM $$", 143, "-15"),
    ] {
        let mut server = shell(&["-v"], script);
        assert_eq!(server.wait().code(), Some(code), "{script}");
        let lines = server.log.wait_for_end();
        let position =
            |text: &str| lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("{lines:#?}"));
        let started = position(&format!("Starting 'sh -c {script}'"));
        let exited = position(&format!("Wrapped command exited (or daemon). Returned {returned}"));
        assert!(started < exited && exited < position("In exit"), "{lines:#?}");
    }
}

#[test]
fn a_command_that_can_not_be_started_is_told_at_the_start() {
    let scratch = Scratch::new();
    let plain = scratch.path("plain");
    fs::write(&plain, "not a program").expect("a file");
    for (name, code, reason) in [
        ("/no/such/thing".to_owned(), 127, "[Errno 2] No such file or directory"),
        ("no-such-thing".to_owned(), 127, "[Errno 2] No such file or directory"),
        (scratch.arg("plain"), 126, "[Errno 13] Permission denied"),
    ] {
        let text = format!("Starting '{name}' failed: {reason}");
        for option in ["--verbose", "--wrap-stdin"] {
            let mut server = Server::spawn(&mut command(&[option, "127.0.0.1:0", "--", &name, "argument"]));
            assert_eq!(server.wait().code(), Some(code), "{option} {name}");
            assert_eq!(server.log.count(&text), 1, "{:#?}", server.log.lines());
        }
        let other = Scratch::new();
        let options = background::options(&other);
        let mut command = Command::new(server::program());
        let output = background::run(command.args(options).args(["127.0.0.1:0", "--", &name]));
        assert_eq!(output.status.code(), Some(code), "-D {name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&text), "{output:?}");
    }
}

#[test]
fn what_a_program_says_last_and_the_1000_arrive_before_we_exit_with_its_code() {
    const BYTES: usize = 3 << 20;
    let program = format!("c = listen().accept()[0]\nc.recv(1)\nc.sendall(bytes({BYTES}))\nsys.exit(7)");
    let mut server = python(&["-v"], &program);
    // One that only has the connection open is not waited for.
    let mut client = Client::connect_narrow(&server).upgrade();
    client.send_binary(b"!");
    let _idle = Client::connect(&server);
    // The program is gone long before its last words are read.
    server.log.wait_for("Wrapped command exited (or daemon). Returned 7");
    assert!(client.data(BYTES).iter().all(|byte| *byte == 0));
    assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
    client.send(&Frame::close(1000, ""));
    client.ended();
    assert_eq!(server.wait().code(), Some(7));
}

#[test]
fn a_program_that_is_gone_is_not_waited_for_at_the_exit() {
    let mut server = python(&[], "time.sleep(1)\nsys.exit(4)");
    let mut client = Client::open(&server);
    let begin = Instant::now();
    let told = client.closed().0;
    assert!(told == Some(1001) || told == Some(1011), "{told:?}");
    client.send(&Frame::close(1001, ""));
    assert_eq!(server.wait().code(), Some(4));
    assert!(begin.elapsed() < Duration::from_secs(9), "it was dialled on for a program that is gone");
}

#[test]
fn respawn_has_three_quick_starts_one_warning_and_a_fourth_ten_seconds_after_the_first() {
    let begin = Instant::now();
    let server = shell(&["--wrap-mode=respawn"], "exit 5");
    server.log.wait_for("Command respawning too fast");
    server.log.expect("Starting 'sh -c exit 5'", 3);
    server.log.wait_for_nth("Starting 'sh -c exit 5'", 4);
    assert!(begin.elapsed() >= Duration::from_secs(10), "{:?}", begin.elapsed());
    server.log.expect("Starting 'sh -c exit 5'", 4);
}

#[test]
fn a_program_that_takes_one_client_only_serves_one_after_the_other() {
    // As `telnetd -debug` does: whoever else connects is the one client.
    let server = python(
        &["-v", "--wrap-mode=respawn"],
        "c = listen().accept()[0]\nc.sendall(b'welcome')\necho(c)\nsys.exit(0)",
    );
    for n in 1..=3 {
        let mut client = Client::open(&server);
        assert_eq!(client.data(7), b"welcome");
        client.echo(format!("client {n}").as_bytes());
        client.close();
        server.log.wait_for_nth("Wrapped command exited (or daemon). Returned 0", n);
    }
}

#[test]
fn ignore_lets_a_program_go_into_the_background_and_live_on() {
    let scratch = Scratch::new();
    let pid_file = scratch.arg("pid");
    let program = format!(
        "l = listen()\nif os.fork(): sys.exit(0)\nos.setsid()\nopen('{pid_file}', 'w').write(str(os.getpid()))\n\
         for fd in (0, 1, 2): os.dup2(os.open('/dev/null', os.O_RDWR), fd)\nwhile True: echo(l.accept()[0])"
    );
    let mut server = python(&["-v", "--wrap-mode=ignore"], &program);
    server.log.wait_for("Wrapped command exited (or daemon). Returned 0");
    let daemon = number_in(&scratch.path("pid"));
    let mut client = Client::open(&server);
    client.echo(b"from the background");
    server.signal("TERM");
    assert_eq!(client.closed().0, Some(1001));
    client.send(&Frame::close(1001, ""));
    assert_eq!(server.wait().code(), Some(0));
    assert!(is_group_there(daemon), "it lives on");
    let _ = Command::new("kill").arg(daemon.to_string()).status();
    eventually("its end", || !is_group_there(daemon));
}

#[test]
fn term_ends_the_whole_group_and_kills_what_does_not_obey() {
    let rows = [
        // A program that ends by TERM, one that obeys with a code, and one that does not obey.
        ("echo $$ > PID; sleep 100 & exec sleep 100", 143, "exit"),
        ("trap 'exit 5' TERM; echo $$ > PID; sleep 100 & wait", 5, "exit"),
        ("trap '' TERM; echo $$ > PID; sleep 100; sleep 100", 137, "exit"),
        // The program obeys, and what it has started does not.
        ("(trap '' TERM; sleep 100; sleep 100) & echo $$ > PID; exec sleep 100", 143, "exit"),
        ("echo $$ > PID; sleep 100 & exec sleep 100", 0, "respawn"),
    ];
    for (script, code, mode) in rows {
        let scratch = Scratch::new();
        let script = script.replace("PID", &scratch.arg("pid"));
        let mut server = shell(&["--wrap-mode", mode], &script);
        let group = number_in(&scratch.path("pid"));
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(code), "{script}");
        assert!(!is_group_there(group), "{script}");
        // Not even as zombies, whatever process 1 does: we have waited for all of it.
        assert!(!Path::new(&format!("/proc/{group}")).exists(), "{script}");
        let members = rustix::process::Pid::from_raw(group as i32).expect("a number");
        let there = rustix::process::test_kill_process_group(members);
        assert_eq!(there, Err(rustix::io::Errno::SRCH), "{script}");
    }
}

#[test]
fn term_tells_clients_1001_before_their_program_ends() {
    let mut server = python(&[], "listener = listen()\nwhile True: echo(listener.accept()[0])");
    let mut client = Client::open(&server);
    client.echo(b"here");
    server.signal("TERM");
    assert_eq!(client.closed().0, Some(1001));
    client.send(&Frame::close(1001, ""));
    assert_eq!(server.wait().code(), Some(143));
}

#[test]
fn a_program_lives_on_in_ignore_mode_also_in_the_foreground() {
    let scratch = Scratch::new();
    let script = format!("echo $$ > {}; exec sleep 60", scratch.arg("pid"));
    let mut server = shell(&["--wrap-mode=ignore"], &script);
    let group = number_in(&scratch.path("pid"));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(is_group_there(group));
    let _ = Command::new("kill").arg(group.to_string()).status();
}

#[test]
fn a_program_starts_as_from_a_shell_with_the_two_ports_in_its_environment() {
    let web = Scratch::new();
    let out = Scratch::new();
    let program = format!(
        "status = open('/proc/self/status').read()\n\
         out = open('{}', 'w')\n\
         print(os.getcwd(), os.environ['REBIND_OLD_PORT'], os.environ['REBIND_NEW_PORT'], os.getpgrp() == os.getpid(), file=out)\n\
         print([l for l in status.splitlines() if l.startswith(('SigBlk', 'SigIgn'))], file=out)\n\
         print(sorted(int(n) for n in os.listdir('/proc/self/fd') if int(n) not in (out.fileno(), out.fileno() + 1)), file=out)\n\
         print([n for n in os.environ if n.startswith(('LISTEN_', 'NOTIFY_', 'WATCHDOG_'))], file=out)\n\
         out.close()\nos.rename('{}', '{}')",
        out.arg("a"),
        out.arg("a"),
        out.arg("b"),
    );
    let mut command = python_command(&["--web", &web.arg("")], &program);
    command.envs([("NOTIFY_SOCKET", "/nowhere"), ("WATCHDOG_USEC", "1"), ("LISTEN_FDS", "0")]);
    let mut server = Server::launch(&mut command);
    server.wait();
    let text = fs::read_to_string(out.path("b")).expect("the program has written it");
    let lines: Vec<&str> = text.lines().collect();
    let directory = fs::canonicalize(web.path("")).expect("it is there");
    let words: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!(words[0], directory.to_str().expect("text"));
    assert_eq!(words[1], server.port.to_string());
    assert!(server.log.count(&format!("(port {})", words[2])) == 1, "{words:?}");
    assert_eq!(words[3], "True", "it leads a group of its own");
    // Python itself ignores SIGPIPE (13) and SIGXFSZ (25).
    assert_eq!(lines[1], "['SigBlk:\\t0000000000000000', 'SigIgn:\\t0000000001001000']");
    assert_eq!(lines[2], "[0, 1, 2]");
    assert_eq!(lines[3], "[]");
}

#[test]
fn in_the_background_the_daemon_starts_the_program_and_its_output_goes_to_the_log_file() {
    let program = format!(
        "{PRELUDE}print('on standard output', flush=True)\nprint('on standard error', file=sys.stderr, flush=True)\n\
         listener = listen()\nwhile True: echo(listener.accept()[0])"
    );
    let gateway = Background::start(&["127.0.0.1:0", "--", "python3", "-c", &program]);
    eventually("both lines", || {
        let log = gateway.log();
        log.contains("\non standard output\n") && log.contains("\non standard error\n")
    });
    assert!(gateway.log().contains("\nStarting 'python3 -c "));
    let mut client = Client::connect_to(gateway.address()).upgrade();
    client.echo(b"by a daemon");
    drop(client);
    gateway.signal("TERM");
    gateway.wait();
}

#[test]
fn a_unix_socket_is_waited_for_like_a_port() {
    let scratch = Scratch::new();
    let socket = scratch.arg("s");
    let program = format!(
        "time.sleep(1)\ns = socket.socket(socket.AF_UNIX)\ns.bind('{socket}')\ns.listen()\nwhile True: echo(s.accept()[0])"
    );
    let server = python(&["--unix-target", &socket], &program);
    Client::open(&server).echo(b"by name");
    server.log.wait_for("connecting to command: 'python3 -c ");
    server.signal("TERM");
}

#[test]
fn a_static_program_is_said_to_keep_its_port_and_how_to_go_on() {
    if !has("cc") {
        return;
    }
    let scratch = Scratch::new();
    fs::write(scratch.path("p.c"), "int main(void) { return 9; }").expect("a source");
    let built = Command::new("cc").args(["-static", "-o", &scratch.arg("p"), &scratch.arg("p.c")]).status();
    assert!(built.expect("a compiler").success());
    for (options, lines) in [(&[][..], 1), (&["--unix-target", "s"], 0), (&["--wrap-stdin"], 0)] {
        let path = scratch.arg("p");
        let mut server = Server::launch(&mut command(&[options, &["127.0.0.1:0", "--", &path]].concat()));
        if lines > 0 {
            assert_eq!(server.wait().code(), Some(9));
        }
        let ways =
            "let it listen on another port and name that as the target, or use --unix-target or --wrap-stdin";
        assert_eq!(server.log.count(ways), lines, "{options:?} {:#?}", server.log.lines());
    }
}

#[test]
fn a_set_user_id_program_is_said_to_keep_its_port() {
    let scratch = Scratch::new();
    let path = scratch.path("p");
    fs::copy("/bin/true", &path).expect("a program");
    let chown = Command::new("chown").args(["1", &scratch.arg("p")]).output().expect("chown");
    if !chown.status.success() {
        return skipped("only root can make a program of another user");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("a mode");
    let mut server = Server::launch(&mut command(&["127.0.0.1:0", "--", &scratch.arg("p")]));
    assert_eq!(server.wait().code(), Some(0));
    server.log.expect("is set-user-id, so it can't be moved to another port: ", 1);
}

#[test]
fn whoever_leaves_while_the_program_starts_is_not_dialled_for() {
    let server =
        python(&["-v"], "time.sleep(2)\nl = listen()\nc = l.accept()[0]\nc.sendall(b'the first')\necho(c)");
    let mut early = Client::open(&server);
    early.send(&Frame::close(1000, "no patience"));
    assert_eq!(early.closed(), (Some(1000), "no patience".to_owned()));
    server.log.wait_for("Client closed connection");
    assert_eq!(Client::open(&server).data(9), b"the first");
}

#[test]
fn as_process_1_orphans_are_reaped_and_the_programs_status_is_ours() {
    if !has("unshare") {
        return;
    }
    // Orphans end before, with and after the program.
    let script = "for n in 1 2 3 4 5 6 7 8; do (sleep 0.$n &); done; sleep 0.4; exit 3";
    for _ in 0..3 {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "exec \"$@\"", "sh"]);
        command.arg(server::program()).args(["-v", "127.0.0.1:0", "--", "sh", "-c", script]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut server = Server::spawn(&mut command);
        let code = server.wait().code();
        let lines = server.log.wait_for_end();
        if lines.iter().any(|line| line.starts_with("unshare: ")) {
            return skipped("a namespace of processes needs root");
        }
        assert_eq!(code, Some(3), "{lines:#?}");
        assert!(
            lines.iter().any(|line| line == "Wrapped command exited (or daemon). Returned 3"),
            "{lines:#?}"
        );
    }
}
