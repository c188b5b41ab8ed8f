//! The same programs wrapped by Python websockify 0.13.0, with the library of Debian's package, and by this program. The
//! lines of both logs and what clients get have to be the same, but for the differences intended.
//!
//! `WEBSOCKIFY_PYTHON` names a Python that has websockify 0.13.0; without it the test is skipped and says so.

use std::path::Path;
use std::process::{Command, Stdio};

use super::tokens_beside_python::python;
use crate::common::client::Client;
use crate::common::frame::Frame;
use crate::common::server::{Server, program};
use crate::common::{Scratch, free_port, skipped};

/// Python's websockify and ours, in front of the same words.
fn both(python: &str, options: &[&str], words: &[&str]) -> [Server; 2] {
    // It looks for its library beside its own script.
    let theirs = Path::new(python).with_file_name("websockify");
    [theirs.to_str().expect("a path").to_owned(), program()].map(|program| {
        let port = free_port();
        let mut command = Command::new(&program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let source = format!("127.0.0.1:{port}");
        command.args(options).arg(&source).arg("--").args(words).env("PYTHONDONTWRITEBYTECODE", "1");
        // It misses numpy aloud.
        command.env("PYTHONWARNINGS", "ignore");
        let mut server = Server::launch(&mut command);
        server.port = port;
        server
    })
}

/// The log without what differs from run to run: ports and the time.
fn lines(server: &Server) -> Vec<String> {
    let port = server.port.to_string();
    let lines = server.log.lines();
    let new = lines.iter().find_map(|line| Some(line.rsplit_once("(port ")?.1.split(')').next()?.to_owned()));
    let new = new.unwrap_or_default();
    let plain = |line: &String| {
        let line = line.replace(&new, "NEW").replace(&port, "OLD");
        match line.split_once("] ") {
            Some((head, rest)) if head.contains(" - - [") => rest.to_owned(),
            _ => line,
        }
    };
    lines.iter().map(plain).collect()
}

/// What only one of them says on purpose: a word of Python's for a new connection, our limit and our counts at the end.
fn is_of_one(line: &str) -> bool {
    ["new handler Process", "new connection", "connections at a time", "connections ended as "]
        .iter()
        .any(|part| line.contains(part))
}

fn compare(servers: &[Server; 2]) {
    let [theirs, ours] = servers.each_ref().map(|server| {
        let mut lines = lines(server);
        lines.retain(|line| !is_of_one(line));
        lines
    });
    assert_eq!(ours, theirs);
}

/// The same for lines of threads and processes that speak side by side.
fn compare_sorted(servers: &[Server; 2], what: &str) {
    let [theirs, ours] = servers.each_ref().map(|server| {
        let mut lines = lines(server);
        lines.retain(|line| !is_of_one(line));
        lines.sort();
        lines
    });
    assert_eq!(ours, theirs, "{what}");
}

/// Debian's library, without which the Python program does not start.
fn has_library(python: &str) -> bool {
    let is_there = Path::new(python).parent().is_some_and(|bin| bin.join("../lib/rebind.so").exists());
    if !is_there {
        skipped("the Python program has no rebind.so: .ci/prepare gives it Debian's");
    }
    is_there
}

#[test]
fn a_program_that_ends_is_told_in_the_same_lines_and_its_code_is_ours_only_here() {
    let Some(python) = python().filter(|python| has_library(python)) else { return };
    for (script, code) in [("exit 0", 0), ("sleep 0.2; exit 3", 3), ("kill -TERM $$", 143)] {
        let mut servers = both(&python, &["-v"], &["sh", "-c", script]);
        let codes = servers.each_mut().map(|server| server.wait().code());
        assert_eq!(codes, [Some(0), Some(code)], "{script}");
        servers.iter().for_each(|server| drop(server.log.wait_for_end()));
        compare(&servers);
    }
}

#[test]
fn a_session_with_a_program_is_told_in_the_same_lines_and_sees_the_same() {
    let Some(python) = python().filter(|python| has_library(python)) else { return };
    let scratch = Scratch::new();
    let program = "import os, socket, sys\n\
        l = socket.socket()\nl.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
        l.bind(('0.0.0.0', int(os.environ['REBIND_OLD_PORT'])))\nl.listen()\n\
        print('listening', os.getcwd(), file=sys.stderr, flush=True)\n\
        c = l.accept()[0]\nc.sendall(c.recv(99).upper())\nc.close()\nsys.exit(0)";
    let program = program.replace('\n', ";");
    for options in [&["-v"][..], &["-v", "--web", &scratch.arg("")]] {
        let mut servers = both(&python, options, &["python3", "-c", &program]);
        for server in &servers {
            // The program has to listen before a client comes there.
            server.log.wait_for("listening ");
            let mut client = Client::open(server);
            client.send_binary(b"hello");
            assert_eq!(client.data(5), b"HELLO");
            assert_eq!(client.closed(), (Some(1000), "Target closed".to_owned()));
            client.send(&Frame::close(1000, ""));
        }
        for server in &mut servers {
            assert_eq!(server.wait().code(), Some(0));
            server.log.wait_for_end();
        }
        compare_sorted(&servers, &format!("{options:?}"));
    }
}

#[test]
fn respawn_is_told_in_the_same_lines_up_to_its_warning() {
    let Some(python) = python().filter(|python| has_library(python)) else { return };
    let servers = both(&python, &["-v", "--wrap-mode=respawn"], &["sh", "-c", "exit 5"]);
    let [theirs, ours] = servers.each_ref().map(|server| {
        server.log.wait_for("Command respawning too fast");
        let mut lines = lines(server);
        lines.retain(|line| !is_of_one(line));
        let end = lines.iter().position(|line| line == "Command respawning too fast").expect("it was there");
        lines.truncate(end + 1);
        lines
    });
    assert_eq!(ours, theirs);
}

#[test]
fn the_environment_of_a_program_is_the_same() {
    let Some(python) = python().filter(|python| has_library(python)) else { return };
    // Whole lines, since the program and its server speak side by side.
    let script = "names=$(env | sed 's/=.*//' | grep -v -e '^_$' -e '^SHLVL$' -e '^PYTHONDONTWRITEBYTECODE$' | sort); \
        echo $names >&2; ls /proc/self/fd | wc -l >&2; sleep 1";
    let mut servers = both(&python, &[], &["sh", "-c", script]);
    for server in &mut servers {
        server.wait();
        server.log.wait_for_end();
    }
    compare_sorted(&servers, "");
    servers[1].log.expect("REBIND_NEW_PORT REBIND_OLD_PORT", 1);
}
