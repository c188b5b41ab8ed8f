//! Syslog: the same lines as on standard error, in both forms, to every kind of daemon; and what a daemon that is
//! absent, stalled or being restarted costs. Beside it, where the Python program is there, what that one sends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::background::Background;
use crate::common::client::Client;
use crate::common::server::{Server, program};
use crate::common::target::Target;
use crate::common::{DEADLINE, Scratch, free_port, skipped};

fn visit(server: &Server) {
    let mut client = Client::open(server);
    client.echo(b"hello");
    client.close();
}

/// A daemon on a Unix datagram socket.
fn datagrams(path: &Path) -> UnixDatagram {
    let daemon = UnixDatagram::bind(path).expect("a socket");
    daemon.set_read_timeout(Some(DEADLINE)).expect("an option");
    daemon
}

fn message(daemon: &UnixDatagram) -> String {
    let mut space = [0; 16 * 1024];
    let count = daemon.recv(&mut space).expect("a message");
    String::from_utf8(space[..count].to_vec()).expect("text")
}

/// Messages up to the one that contains `text`.
fn messages_until(daemon: &UnixDatagram, text: &str) -> Vec<String> {
    let mut messages = vec![message(daemon)];
    while !messages.iter().any(|message| message.contains(text)) {
        messages.push(message(daemon));
    }
    messages
}

/// Priority and text of a message of RFC 5424, whose other parts are checked.
fn parts(message: &str, pid: u32) -> (u8, &str) {
    let (priority, rest) = message.strip_prefix('<').and_then(|rest| rest.split_once(">1 ")).expect(message);
    let (time, rest) = rest.split_once(' ').expect(message);
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{message}");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let text = rest.strip_prefix(&format!("{} websockify {pid} - - ", host.trim())).expect(message);
    (priority.parse().expect("a number"), text)
}

#[test]
fn a_unix_datagram_socket_gets_the_lines_of_standard_error_by_their_severities() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let daemon = datagrams(&scratch.path("syslog"));
    let mut server = Server::relay_with(
        &target.address,
        &["-v", "--libserver", "--syslog", &scratch.arg("syslog"), "--max-connections", "1000000000"],
    );
    // Read as they come: only a few messages wait for a daemon.
    let reading =
        std::thread::spawn(move || messages_until(&daemon, "connections ended as client-closed: 1"));
    visit(&server);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let lines = server.log.wait_for_end();
    let messages = reading.join().expect("all messages");
    let texts: Vec<(u8, &str)> = messages.iter().map(|text| parts(text, server.pid())).collect();
    assert_eq!(texts.iter().map(|(_, text)| *text).collect::<Vec<_>>(), lines);
    for (priority, text) in [
        (14, "WebSocket server settings:"),
        (14, "In exit"),
        (15, "\"GET / HTTP/1.1\" 101 -"),
        (15, "Closing socket listening at "),
        (12, "--libserver has no effect"),
        (12, "--max-connections 1000000000 needs more than"),
    ] {
        assert!(
            texts.iter().any(|(p, t)| *p == priority && t.contains(text)),
            "{priority} {text}: {texts:#?}"
        );
    }
}

#[test]
fn what_the_operator_should_see_is_a_warning() {
    let (scratch, target) = (Scratch::new(), Target::refusing());
    let daemon = datagrams(&scratch.path("syslog"));
    let server = Server::relay_with(&target.address, &["--syslog", &scratch.arg("syslog")]);
    let mut client = Client::open(&server);
    client.closed_with(1011);
    let messages = messages_until(&daemon, "Failed to connect to ");
    let (priority, _) = parts(messages.last().expect("a message"), server.pid());
    assert_eq!(priority, 12);
    let mut rude = Client::connect(&server);
    rude.wire.send(b"BAD\r\n\r\n");
    let messages = messages_until(&daemon, "code 400");
    let (priority, _) = parts(messages.last().expect("a message"), server.pid());
    assert_eq!(priority, 14, "a client's fault is nothing to look at");
}

#[test]
fn a_start_that_fails_is_told_to_syslog_too() {
    let scratch = Scratch::new();
    let daemon = datagrams(&scratch.path("syslog"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let source = taken.local_addr().expect("bound").to_string();
    let mut command = Command::new(program());
    command.args(["--syslog", &scratch.arg("syslog"), &source, "a:1"]);
    assert_eq!(command.stderr(Stdio::null()).status().expect("it runs").code(), Some(1));
    let messages = messages_until(&daemon, "Opening socket failed: [Errno 98] Address already in use");
    assert!(messages.last().is_some_and(|message| message.starts_with("<12>1 ")), "{messages:?}");
}

#[test]
fn the_older_form_and_the_daemons_facility() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let daemon = datagrams(&scratch.path("syslog"));
    let syslog = scratch.arg("syslog");
    let args = ["--syslog", &syslog, "--legacy-syslog", "127.0.0.1:0", &target.address];
    let gateway = Background::start(&args);
    gateway.visit();
    let messages = messages_until(&daemon, "connecting to: ");
    let of_daemon = format!("<30>websockify[{}]: ", gateway.pid);
    let proxying = messages.iter().find(|message| message.contains("  - proxying from ")).expect("the start");
    assert!(proxying.starts_with(&of_daemon), "{proxying}");
    assert!(messages.last().expect("a session").starts_with(&of_daemon), "{messages:?}");
}

#[test]
fn a_unix_stream_socket_gets_lines() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let daemon = UnixListener::bind(scratch.path("syslog")).expect("a socket");
    let server = Server::relay_with(&target.address, &["--syslog", &scratch.arg("syslog")]);
    visit(&server);
    let mut lines = BufReader::new(daemon.accept().expect("it came").0).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("<14>1 ") && line.contains("connecting to: ")));
    // The daemon is restarted: what comes next goes to the new one.
    drop(lines);
    drop(daemon);
    fs::remove_file(scratch.path("syslog")).expect("removed");
    let daemon = UnixListener::bind(scratch.path("syslog")).expect("a socket");
    visit(&server);
    let mut lines = BufReader::new(daemon.accept().expect("it came").0).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("connecting to: ")));
}

#[test]
fn udp_gets_one_message_a_datagram() {
    let target = Target::tcp().echo();
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    daemon.set_read_timeout(Some(DEADLINE)).expect("an option");
    let port = daemon.local_addr().expect("bound").port();
    let server = Server::relay_with(&target.address, &["--syslog", &format!("localhost:{port}")]);
    visit(&server);
    let mut space = [0; 4096];
    let mut next = || {
        let count = daemon.recv(&mut space).expect("a message");
        String::from_utf8(space[..count].to_vec()).expect("text")
    };
    assert_eq!(parts(&next(), server.pid()), (14, "WebSocket server settings:"));
    while !next().contains("connecting to: ") {}
}

#[test]
fn text_beyond_ascii_is_marked() {
    let scratch = Scratch::new();
    let daemon = datagrams(&scratch.path("syslog"));
    let name = scratch.arg("t\u{e4}rget");
    let args = ["--syslog", &scratch.arg("syslog"), "--unix-target", &name, "127.0.0.1:0"];
    let server = Server::start(&args);
    let messages = messages_until(&daemon, "  - proxying from ");
    let (_, text) = parts(messages.last().expect("a message"), server.pid());
    assert!(text.starts_with("\u{feff}  - proxying from ") && text.ends_with("t\u{e4}rget"), "{text:?}");
}

#[test]
fn a_daemon_that_comes_later_gets_everything() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let server = Server::relay_with(&target.address, &["--syslog", &scratch.arg("syslog")]);
    visit(&server);
    server.log.wait_for("[Errno 2] No such file or directory; lines wait until it can be reached");
    let daemon = datagrams(&scratch.path("syslog"));
    let messages = messages_until(&daemon, "connecting to: ");
    assert_eq!(parts(&messages[0], server.pid()), (14, "WebSocket server settings:"));
    server.log.expect("lines wait until it can be reached", 1);
    // Restarted: the old socket's file is still there for a while, and nobody reads it.
    drop(daemon);
    visit(&server);
    server.log.wait_for("[Errno 111] Connection refused; lines wait until it can be reached");
    fs::remove_file(scratch.path("syslog")).expect("removed");
    let daemon = datagrams(&scratch.path("syslog"));
    messages_until(&daemon, "connecting to: ");
}

#[test]
fn a_daemon_that_stalls_costs_lines_that_are_counted_and_no_session() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let daemon = datagrams(&scratch.path("syslog"));
    // Long paths fill the queue of 1 MiB. In ten seconds a thousand sessions are logged, so it takes some more.
    let mut server = Server::relay_with(&target.address, &["-v", "--syslog", &scratch.arg("syslog")]);
    let request =
        crate::common::client::UPGRADE.replace("GET / ", &format!("GET {} ", "/desktop".repeat(250)));
    let logged_bytes = || server.log.lines().iter().map(String::len).sum::<usize>();
    let mut sessions = 0;
    while sessions % 250 > 0 || logged_bytes() < 3 << 19 {
        assert!(sessions < 1_000_000, "{} bytes were logged", logged_bytes());
        let mut client = Client::connect(&server);
        assert_eq!(client.ask(request.as_bytes()).status, 101);
        client.echo(b"hello");
        client.close();
        sessions += 1;
    }
    // Standard error stays on.
    server.log.wait_for_nth("connecting to: ", 1000);
    // The daemon goes on: it gets what waited, and the count of the rest.
    let messages = messages_until(&daemon, " log lines were lost");
    let note = messages.last().expect("a note");
    let (priority, text) = parts(note, server.pid());
    let lost: usize = text.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
    assert_eq!(priority, 12);
    let lines = server.log.lines().iter().filter(|line| !line.contains("; lines wait until")).count();
    // Between those that were delivered before the note and those that were lost there may be newer ones.
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(lost > 0 && messages.len() - 1 + lost <= lines + 1, "{} + {lost} of {lines}", messages.len());
}

#[test]
fn a_daemon_that_stalls_does_not_keep_the_program_from_its_end() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let _daemon = datagrams(&scratch.path("syslog"));
    let mut server = Server::relay_with(&target.address, &["-v", "--syslog", &scratch.arg("syslog")]);
    for _ in 0..300 {
        visit(&server);
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let lines = server.log.wait_for_end();
    assert!(lines.iter().any(|line| line.ends_with(" log lines did not reach syslog")), "{lines:#?}");
}

#[test]
fn the_python_program_sends_the_same_messages() {
    let Ok(python) = std::env::var("WEBSOCKIFY_PYTHON") else {
        skipped("WEBSOCKIFY_PYTHON does not name a Python with websockify 0.13.0");
        return;
    };
    let target = Target::tcp().echo();
    for form in [&["--syslog"][..], &["--legacy-syslog", "--syslog"]] {
        let mut seen = Vec::new();
        for words in [vec![python.as_str(), "-m", "websockify"], vec![&program()]] {
            let scratch = Scratch::new();
            let daemon = datagrams(&scratch.path("syslog"));
            let source = format!("127.0.0.1:{}", free_port());
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).args(form).args([&scratch.arg("syslog"), &source, &target.address]);
            command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore");
            let mut server =
                Server::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
            server.log.wait_for("  - proxying from ");
            let mut client = Client::connect_to(source.parse().expect("an address")).upgrade();
            client.echo(b"hello");
            client.close();
            let messages = messages_until(&daemon, "connecting to: ");
            server.signal("TERM");
            server.wait();
            let plain = |text: &String| {
                // Sessions are processes of their own there, with numbers of their own.
                let text = text.replace(&source, "SOURCE");
                let (digits, mut shape) = (|c: char| c.is_ascii_digit(), String::new());
                text.chars().for_each(|c| {
                    if !digits(c) {
                        shape.push(c);
                    } else if !shape.ends_with('0') {
                        shape.push('0');
                    }
                });
                shape
            };
            seen.push(messages.iter().map(plain).collect::<Vec<_>>());
        }
        assert_eq!(seen[0], seen[1], "{form:?}");
    }
}
