//! The log under attack, and its rotation: peers that were not admitted can't flood it, what is left out is
//! counted, and SIGHUP reopens the file and does not end the service.

use super::Server;
use crate::common::client::{Client, UPGRADE};
use crate::common::process::size;
use crate::common::target::Target;
use crate::common::{Scratch, eventually};

/// Bad requests; `WEBSOCKIFY_BAD_REQUESTS=10000` is the large form.
fn bad_requests() -> usize {
    size("WEBSOCKIFY_BAD_REQUESTS", 1000)
}

#[test]
fn bad_requests_cause_few_lines_and_an_exact_count_of_the_others() {
    flood_the_log(bad_requests(), "code 400", "refused", |server| {
        let mut client = Client::connect(server);
        client.wire.send(b"BAD\r\n\r\n");
        assert_eq!(client.read_head().status, 400);
    });
}

#[test]
fn failed_tls_handshakes_cause_few_lines_and_an_exact_count_of_the_others() {
    flood_the_log(300, "TLS handshake failed: not TLS", "tls-failed", |server| {
        let mut client = Client::connect_bare(server);
        client.wire.send(b"\x16no TLS at all");
        client.wire.wait_until_gone();
    });
}

/// Has `count` connections be `bad`, each worth a line that contains `text` about an ending of this kind.
fn flood_the_log(count: usize, text: &str, kind: &str, bad: impl Fn(&Server)) {
    let target = Target::tcp().echo();
    let mut server = also_secure(&target.address);
    let started = server.log.lines().len();
    let start = std::time::Instant::now();
    (0..count).for_each(|_| bad(&server));
    // Ten lines in ten seconds, and the ten seconds may begin again while this test goes on.
    let windows = 1 + start.elapsed().as_secs() as usize / 10;
    visit(&server);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let lines = server.log.wait_for_end();
    let about: Vec<&String> = lines.iter().filter(|line| line.contains(text)).collect();
    println!("{count} × {text:?} in {windows} windows: {} lines", about.len());
    assert!(about.len() <= 10 * windows, "{count} bad connections caused {} lines", about.len());
    let left_out: usize = lines.iter().filter_map(|line| left_out(line, kind)).sum();
    assert_eq!(about.len() + left_out, count, "lines and those that were left out");
    assert!(lines.len() - started <= 12 * windows + 4, "{lines:#?}");
}

/// A gateway that speaks TLS, too, whatever its clients do.
fn also_secure(target: &str) -> Server {
    let identity = crate::common::tls::identity();
    let files = [crate::common::text(&identity.cert), crate::common::text(&identity.key)];
    let options = ["--cert", &files[0], "--key", &files[1]];
    // One that is secure anyway has them already.
    Server::relay_with(target, if Server::IS_SECURE { &[] } else { &options })
}

/// The number in a line that says how many of a kind were left out.
fn left_out(line: &str, kind: &str) -> Option<usize> {
    let suffix = format!(" similar lines ({kind}) suppressed");
    line.strip_suffix(&suffix)?.parse().ok()
}

#[test]
fn of_sessions_that_come_and_go_a_thousand_in_ten_seconds_are_logged_and_the_others_counted() {
    // Nobody listens there: each of these has a line about that, too.
    let target = Target::refusing();
    let mut server = Server::relay_with(&target.address, &["-v"]);
    let path = format!("/xxx{}", "/x".repeat(6_000));
    let request = UPGRADE.replace("GET / ", &format!("GET {path} "));
    let (start, count) = (std::time::Instant::now(), 1100);
    for _ in 0..count {
        let mut client = Client::connect(&server);
        assert_eq!(client.ask(request.as_bytes()).status, 101);
        client.closed_with(1011);
    }
    let windows = 1 + start.elapsed().as_secs() as usize / 10;
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let lines = server.log.wait_for_end();
    let with = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    let told = with("WebSocket connection");
    assert!(told <= 1000 * windows, "{told} of {count} sessions were told in {windows} windows");
    let number = |line: &String| line.strip_suffix(" sessions not logged")?.parse::<usize>().ok();
    let left_out: usize = lines.iter().filter_map(number).sum();
    assert_eq!(told + left_out, count, "sessions that were told and that were left out");
    assert_eq!((with("Path: '/xxx/x"), with("connecting to: ")), (told, told));
    assert!(with("Failed to connect to ") <= told + 10 * windows);
    let longest = lines.iter().map(String::len).max();
    assert!(longest < Some(500), "a line of {longest:?} bytes");
    assert!(with("/x... (12004 bytes)") >= 2 * told, "the path, and the request's line");
}

#[test]
fn probes_are_silent_at_the_default_level() {
    let target = Target::tcp().echo();
    let server = Server::relay(&target.address);
    let started = server.log.lines().len();
    for number in 0..50 {
        let client = Client::connect(&server);
        if number % 2 == 0 { drop(client) } else { client.wire.reset() }
    }
    visit(&server);
    server.log.wait_for("connecting to: ");
    let lines = server.log.lines().split_off(started);
    assert_eq!(lines.len(), 2, "only the session is logged: {lines:#?}");
}

#[test]
fn a_hang_up_opens_the_log_file_anew() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--log-file", &scratch.arg("log")]);
    visit(&server);
    eventually("the first session in the file", || sessions_in(&scratch, "log") == 1);
    std::fs::rename(scratch.path("log"), scratch.path("log.1")).expect("rotate the log");
    server.signal("HUP");
    eventually("a new file", || scratch.path("log").exists());
    visit(&server);
    eventually("the second session in the new file", || sessions_in(&scratch, "log") == 1);
    assert_eq!(sessions_in(&scratch, "log.1"), 1);
}

#[test]
fn a_hang_up_that_can_not_open_the_file_keeps_the_old_one() {
    let scratch = Scratch::new();
    let directory = scratch.path("logs");
    std::fs::create_dir(&directory).expect("make a directory");
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--log-file", &scratch.arg("logs/log")]);
    visit(&server);
    std::fs::rename(&directory, scratch.path("moved")).expect("move the directory away");
    server.signal("HUP");
    eventually("the next session in the old file", || {
        visit(&server);
        sessions_in(&scratch, "moved/log") >= 2
    });
}

fn sessions_in(scratch: &Scratch, name: &str) -> usize {
    let text = std::fs::read_to_string(scratch.path(name)).unwrap_or_default();
    text.lines().filter(|line| line.contains("connecting to: ")).count()
}

/// One session that echoes and is closed by the client.
fn visit(server: &Server) {
    let mut client = Client::open(server);
    client.echo(b"hello");
    client.close();
}
