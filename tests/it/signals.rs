//! Signals, and the ways in which a program is started: what ends it, what reopens its log, and that nothing
//! which the kernel sends for our own reading and writing ends it.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::common::client::Client;
use crate::common::server::{Server, command, program};
use crate::common::target::Target;
use crate::common::{Scratch, eventually, has, skipped};

/// One session that echoes and is closed by the client.
fn visit(server: &Server) {
    let mut client = Client::open(server);
    client.echo(b"hello");
    client.close();
}

/// A command that a shell runs before it becomes the gateway with these arguments.
fn shell(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", &program()]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn sessions_in(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().matches("connecting to: ").count()
}

#[test]
fn a_hang_up_without_a_log_file_ends_it_as_term_does() {
    let target = Target::tcp().echo();
    let mut server = Server::relay(&target.address);
    let mut client = Client::open(&server);
    client.echo(b"before");
    server.signal("HUP");
    client.closed_with(1001);
    drop(client);
    assert_eq!(server.wait().code(), Some(0));
    server.log.expect("In exit", 1);
}

#[test]
fn a_hang_up_that_was_ignored_at_the_start_stays_ignored() {
    let target = Target::tcp().echo();
    for script in ["trap '' HUP; exec \"$@\"", "exec nohup \"$@\""] {
        let mut server = Server::launch(&mut shell(script, &["127.0.0.1:0", &target.address]));
        let mut client = Client::open(&server);
        for _ in 0..3 {
            server.signal("HUP");
            visit(&server);
        }
        client.echo(b"behind");
        // The signals were taken in order, so they are all behind when this one ends the program.
        server.signal("TERM");
        client.closed_with(1001);
        drop(client);
        assert_eq!(server.wait().code(), Some(0), "{script}");
    }
}

#[test]
fn a_hang_up_reopens_the_log_even_if_it_was_ignored_at_the_start() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    let args = ["--log-file", &scratch.arg("log"), "127.0.0.1:0", &target.address];
    let server = Server::launch(&mut shell("trap '' HUP; exec \"$@\"", &args));
    fs::rename(scratch.path("log"), scratch.path("log.1")).expect("rotated");
    server.signal("HUP");
    eventually("a new file", || scratch.path("log").exists());
    visit(&server);
    eventually("the session in the new file", || sessions_in(&scratch.path("log")) == 1);
}

#[test]
fn usr1_reopens_the_log_and_does_nothing_else() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--log-file", &scratch.arg("log")]);
    fs::rename(scratch.path("log"), scratch.path("log.1")).expect("rotated");
    server.signal("USR1");
    eventually("a new file", || scratch.path("log").exists());
    let mut without = Server::relay(&target.address);
    let mut client = Client::open(&without);
    without.signal("USR1");
    without.signal("USR2");
    visit(&without);
    client.echo(b"undisturbed");
    client.close();
    without.signal("TERM");
    assert_eq!(without.wait().code(), Some(0));
}

#[test]
fn a_reopening_that_fails_is_told_and_tried_again_at_the_next_signal() {
    let scratch = Scratch::new();
    let (log, old) = (scratch.path("log"), scratch.path("log.1"));
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--log-file", &scratch.arg("log")]);
    fs::rename(&log, &old).expect("rotated");
    mknodat(CWD, &log, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO in its place");
    server.signal("HUP");
    let told = format!(
        "log file {} can't be reopened: no process reads this FIFO; the old one stays in use",
        log.display()
    );
    server.log.wait_for(&told);
    visit(&server);
    eventually("the session in the old file", || sessions_in(&old) == 1);
    fs::remove_file(&log).expect("removed");
    fs::create_dir(&log).expect("a directory in its place");
    server.signal("USR1");
    server.log.wait_for("can't be reopened: [Errno 21] Is a directory");
    fs::remove_dir(&log).expect("removed");
    server.signal("HUP");
    eventually("a new file", || log.is_file());
    visit(&server);
    eventually("the session in the new file", || sessions_in(&log) == 1);
    assert_eq!(sessions_in(&old), 1);
}

#[test]
fn a_fifo_that_nobody_reads_is_no_log_and_does_not_hang_the_start() {
    let scratch = Scratch::new();
    mknodat(CWD, scratch.path("log"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    let mut server =
        Server::spawn(&mut command(&["--log-file", &scratch.arg("log"), "127.0.0.1:0", "127.0.0.1:1"]));
    assert_eq!(server.wait().code(), Some(1));
    let lines = server.log.wait_for_end();
    assert!(lines.iter().any(|line| line.ends_with("no process reads this FIFO")), "{lines:?}");
}

#[test]
fn a_fifo_whose_reader_stalls_holds_up_nobody() {
    let scratch = Scratch::new();
    mknodat(CWD, scratch.path("log"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    let mut options = fs::OpenOptions::new();
    let reader = options.read(true).custom_flags(libc::O_NONBLOCK).open(scratch.path("log"));
    let _reader = reader.expect("it is opened for reading");
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["-v", "--log-file", &scratch.arg("log")]);
    for _ in 0..300 {
        visit(&server);
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_limit_of_file_sizes_costs_lines_and_no_session() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    let args = ["-v", "--log-file", &scratch.arg("log"), "127.0.0.1:0", &target.address];
    // In blocks of 512 bytes.
    let mut server = Server::launch(&mut shell("ulimit -f 4; exec \"$@\"", &args));
    let mut client = Client::open(&server);
    for _ in 0..50 {
        visit(&server);
    }
    client.echo(b"still served");
    client.close();
    server.log.wait_for("[Errno 27] File too large; lines are lost until it can be written again");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let log = fs::read_to_string(scratch.path("log")).expect("a file");
    assert_eq!(log.len(), 2048);
}

#[test]
fn closed_descriptors_are_replaced_and_never_get_a_sockets_data() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    let args = ["-v", "--traffic", "--log-file", &scratch.arg("log"), "127.0.0.1:0", &target.address];
    let mut server = Server::spawn(&mut shell("exec \"$@\" <&- >&- 2>&-", &args));
    server.wait_for_listener();
    for _ in 0..5 {
        visit(&server);
    }
    for number in 0..3 {
        let link = fs::read_link(format!("/proc/{}/fd/{number}", server.pid())).expect("it is open");
        assert_eq!(link, Path::new("/dev/null"), "descriptor {number}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_empty_environment_is_enough() {
    let target = Target::tcp().echo();
    let mut command = command(&["127.0.0.1:0", &target.address]);
    let mut server = Server::launch(command.env_clear());
    visit(&server);
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn started_by_a_shell_in_the_background_it_obeys_int_all_the_same() {
    let target = Target::tcp().echo();
    // A shell without job control has INT and QUIT ignored in what it starts in the background.
    let args = ["127.0.0.1:0", &target.address];
    let mut server = Server::launch(&mut shell("\"$@\" & echo $!; wait $!; echo ended with $?", &args));
    let pid = server.stdout.wait_for("");
    visit(&server);
    Command::new("kill").args(["-INT", &pid]).status().expect("kill(1)");
    server.stdout.wait_for("ended with 0");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn in_a_session_of_its_own_it_serves_and_ends() {
    let target = Target::tcp().echo();
    let mut command = Command::new("setsid");
    command.args(["-w", &program(), "127.0.0.1:0", &target.address]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::launch(&mut command);
    visit(&server);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn children_that_it_has_not_started_are_reaped() {
    let target = Target::tcp().echo();
    // The shell's helpers are the gateway's children after the exec.
    let script = "for n in 1 2 3; do sleep 0.$n & done; exec \"$@\"";
    let server = Server::launch(&mut shell(script, &["127.0.0.1:0", &target.address]));
    eventually("no child to be left, not even a zombie", || server.children() == 0);
    visit(&server);
}

#[test]
fn children_that_ended_before_the_start_are_reaped() {
    if !has("perl") {
        return;
    }
    let target = Target::tcp().echo();
    // A shell would take notice of its child. This one has ended before the exec, and no signal tells of it later.
    let script = "exit unless $child = fork; \
                  do { open F, '<', \"/proc/$child/stat\"; $_ = <F> } until /\\) Z /; exec @ARGV";
    let mut command = Command::new("perl");
    command.args(["-e", script, &program(), "127.0.0.1:0", &target.address]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let server = Server::launch(&mut command);
    eventually("no child to be left, not even a zombie", || server.children() == 0);
    visit(&server);
}

#[test]
fn as_process_1_it_reaps_orphans_and_obeys_signals() {
    if !has("unshare") || !has("nsenter") {
        return;
    }
    let target = Target::tcp().echo();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
    command.args(["exec \"$@\"", "sh", &program(), "127.0.0.1:0", &target.address]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::spawn(&mut command);
    eventually("it to start, or not", || {
        server.log.count("  - proxying from ") > 0 || server.log.count("unshare: ") > 0
    });
    if server.log.count("unshare: ") > 0 {
        skipped("a namespace of processes needs root");
        return;
    }
    server.wait_until_it_listens();
    visit(&server);
    let inside = fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).expect("a child");
    let inside = inside.trim();
    let children =
        || fs::read_to_string(format!("/proc/{inside}/task/{inside}/children")).unwrap_or_default();
    // Orphans of a process that came from outside: process 1 of their namespace becomes their parent.
    for _ in 0..5 {
        let orphan = ["--target", inside, "--pid", "sh", "-c", "sleep 0.2 & sleep 0.1 &"];
        assert!(Command::new("nsenter").args(orphan).status().expect("nsenter(1)").success());
    }
    eventually("all orphans to be reaped", || children().is_empty());
    visit(&server);
    assert!(Command::new("kill").args(["-TERM", inside]).status().expect("kill(1)").success());
    assert_eq!(server.wait().code(), Some(0));
    server.log.expect("In exit", 1);
}

#[test]
fn a_root_that_can_not_be_written_is_enough() {
    if !has("unshare") {
        return;
    }
    let target = Target::tcp().echo();
    let mut command = Command::new("unshare");
    let script = "mount -o remount,bind,ro / && ! touch /websockify-test 2>/dev/null && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh", &program(), "127.0.0.1:0", &target.address]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::spawn(&mut command);
    eventually("it to start, or not", || server.log.count("  - proxying from ") > 0 || !server.is_running());
    if !server.is_running() {
        skipped("a root of its own that can't be written needs root");
        return;
    }
    server.wait_until_it_listens();
    visit(&server);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}
