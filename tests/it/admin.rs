//! The admin listener: who may do what, what it says, and that it answers whatever the reactors do.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::admin::Admin;
use crate::common::client::{Answer, Client};
use crate::common::server::{Server, command};
use crate::common::target::Target;
use crate::common::{Scratch, eventually, free_port, skipped};

const FULL: &str = "full-token-0123456789";
const READ: &str = "read-token-0123456789";

fn token_file(scratch: &Scratch) -> String {
    let path = scratch.path("tokens");
    fs::write(&path, format!("# tokens\nfull {FULL}\nread {READ}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    scratch.arg("tokens")
}

/// What is at each path, and with which methods.
const PATHS: &[(&str, &[&str])] = &[
    ("/", &["GET", "HEAD"]),
    ("/metrics", &["GET", "HEAD"]),
    ("/livez", &["GET", "HEAD"]),
    ("/healthz", &["GET", "HEAD"]),
    ("/readyz", &["GET", "HEAD"]),
    ("/readyz?verbose", &["GET", "HEAD"]),
    ("/api/v1/status", &["GET", "HEAD"]),
    ("/api/v1/readiness", &["PUT"]),
    ("/api/v1/sessions", &["GET", "HEAD", "DELETE"]),
    ("/api/v1/sessions/0-0-0-0", &["GET", "HEAD", "DELETE"]),
    ("/api/v1/log", &["GET", "HEAD", "PUT", "DELETE"]),
    ("/api/v1/sessions/", &[]),
    ("/api/v1/log/", &[]),
    ("/missing", &[]),
    ("/api/v1", &[]),
    ("//livez", &[]),
    ("/livez/", &[]),
    ("*", &[]),
];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get"];

/// The status that section 4.1 of the design asks for, told from the request's parts alone.
#[expect(clippy::too_many_arguments, reason = "the columns of the table")]
fn expected(
    (path, methods): (&str, &[&str]),
    method: &str,
    token: Option<&str>,
    host: &str,
    origin: Option<&str>,
    has_header: bool,
    is_unix: bool,
    has_file: bool,
) -> u16 {
    let is_probe = ["/livez", "/healthz", "/readyz", "/readyz?verbose"].contains(&path);
    if !is_probe {
        match token {
            _ if !has_file && !is_unix && !["own", "localhost", "10.1.2.3"].contains(&host) => return 403,
            Some(FULL | READ) => {}
            _ if has_file => return 401,
            _ => {}
        }
        if origin.is_some_and(|origin| origin != host) {
            return 403;
        }
    }
    if methods.is_empty() {
        return 404;
    }
    if !methods.contains(&method) {
        return 405;
    }
    let changes = !["GET", "HEAD"].contains(&method);
    if changes && (has_file && token != Some(FULL) || !has_header) {
        return 403;
    }
    // A change without a body or a filter is understood and refused, but for the level of the log, and there is no
    // session.
    match path {
        "/api/v1/log" if method == "DELETE" => 200,
        "/api/v1/sessions/0-0-0-0" => 404,
        _ if changes => 400,
        _ => 200,
    }
}

#[test]
fn who_may_what_is_a_table() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let file = token_file(&scratch);
    let socket = format!("unix:{}", scratch.arg("a.sock"));
    for (address, has_file) in [("0", false), ("0", true), (&*socket, false), (&*socket, true)] {
        let tokens = ["--admin-token-file", &file];
        let options = [&["--admin", address][..], if has_file { &tokens[..] } else { &[] }].concat();
        let server = Server::relay_with(&target.address, &options);
        let admin = Admin::of(&server);
        admin.eventually_ready();
        let (is_unix, own) = (address != "0", admin.host());
        let (mut count, mut seen) = (0, std::collections::BTreeSet::new());
        for row in PATHS {
            for method in METHODS {
                for token in [None, Some("bad-token-0123456789"), Some(READ), Some(FULL)] {
                    for host in ["own", "localhost", "10.1.2.3", "evil.example"] {
                        for origin in [None, Some(host), Some("other.example")] {
                            for has_header in [false, true] {
                                let name =
                                    |host: &str| if host == "own" { own.clone() } else { host.to_owned() };
                                let line = |name: &str, value: Option<String>| {
                                    value.map(|value| format!("{name}: {value}\r\n")).unwrap_or_default()
                                };
                                let request = format!(
                                    "{method} {} HTTP/1.1\r\nHost: {}\r\n{}{}{}\r\n",
                                    row.0,
                                    name(host),
                                    line("Authorization", token.map(|token| format!("Bearer {token}"))),
                                    line("Origin", origin.map(|origin| format!("http://{}", name(origin)))),
                                    line("Websockify-Admin", has_header.then(|| "1".to_owned())),
                                );
                                // Half of the table is about changes only.
                                if has_header && ["GET", "HEAD"].contains(method) {
                                    continue;
                                }
                                let answer = admin.send(&request);
                                let wanted = expected(
                                    *row, method, token, host, origin, has_header, is_unix, has_file,
                                );
                                assert_eq!(answer.status, wanted, "{request}\n{answer:?}");
                                check_headers(&answer, method, row);
                                (count, _) = (count + 1, seen.insert(answer.status));
                            }
                        }
                    }
                }
            }
        }
        assert!(count > 4000, "{count} requests");
        let all = [200, 400, 401, 403, 404, 405];
        assert!(all.iter().all(|status| seen.contains(status) || *status == 401 && !has_file), "{seen:?}");
    }
}

/// What every answer has.
fn check_headers(answer: &Answer, method: &str, (path, methods): &(&str, &[&str])) {
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("connection", "close"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
    assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{answer:?}");
    let allow = (answer.status == 405).then(|| methods.join(", "));
    assert_eq!(answer.header("allow"), allow.as_deref(), "{path}");
    assert_eq!(answer.header("www-authenticate"), (answer.status == 401).then_some("Bearer"));
    if method == "HEAD" {
        assert_eq!(answer.body, "");
    } else if answer.status >= 400 && answer.status != 503 {
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("an object");
        assert!(body["error"].is_string(), "{body}");
    }
}

#[test]
fn an_address_that_others_reach_needs_tokens() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let mut server = Server::spawn(&mut command(&["--admin", "0.0.0.0:0", "127.0.0.1:0", &target.address]));
    assert_eq!(server.wait().code(), Some(1));
    let last = server.log.wait_for_end().pop().expect("a line");
    assert!(last.starts_with("websockify: error: --admin 0.0.0.0:"), "{last}");
    assert!(last.ends_with(": others can reach this address, so --admin-token-file is needed"), "{last}");
    let file = token_file(&scratch);
    let options = ["--admin", "0.0.0.0:0", "--admin-token-file", &file];
    let server = Server::relay_with(&target.address, &options);
    assert_eq!(Admin::of(&server).get("/api/v1/status").status, 401);
}

#[test]
fn a_file_of_tokens_counts_as_it_is_now_and_a_broken_one_lets_nobody_in() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let file = token_file(&scratch);
    let server = Server::relay_with(&target.address, &["--admin", "0", "--admin-token-file", &file]);
    let admin = Admin::of(&server);
    let status = |token: &str| {
        let host = admin.host();
        let line = format!("Authorization: Bearer {token}");
        admin.send(&format!("GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\n{line}\r\n\r\n")).status
    };
    assert_eq!((status(FULL), status("new-token-0123456789")), (200, 401));
    fs::write(&file, "read new-token-0123456789\n").expect("written");
    eventually("the new token to count", || status("new-token-0123456789") == 200);
    assert_eq!(status(FULL), 401);
    fs::write(&file, "read short\n").expect("written");
    eventually("nobody to be let in", || status("new-token-0123456789") == 503);
    assert_eq!(status("short"), 503);
    let told =
        format!("--admin-token-file {file}: line 1: a token has at least 16 characters; nobody is let in");
    server.log.wait_for(&told);
    assert_eq!(server.log.count(&told), 1, "said once");
    assert_eq!(admin.get("/livez").status, 200, "probes need no token");
}

#[test]
fn a_start_with_a_file_of_tokens_that_is_none_fails_and_says_why() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    for (text, told) in [
        (None, "not found"),
        (Some("full short\n"), "line 1: a token has at least 16 characters"),
        (Some("# nobody\n"), "it has no token"),
    ] {
        let path = scratch.path("tokens");
        let _ = fs::remove_file(&path);
        if let Some(text) = text {
            fs::write(&path, text).expect("written");
        }
        let path = scratch.arg("tokens");
        let args = ["--admin", "0", "--admin-token-file", &path, "127.0.0.1:0", &target.address];
        let mut server = Server::spawn(&mut command(&args));
        assert_eq!(server.wait().code(), Some(1));
        server.log.wait_for(&format!("websockify: error: --admin-token-file {path}: {told}"));
    }
    fs::write(scratch.path("open"), format!("full {FULL}\n")).expect("written");
    fs::set_permissions(scratch.path("open"), fs::Permissions::from_mode(0o644)).expect("set");
    let path = scratch.arg("open");
    let server = Server::relay_with(&target.address, &["--admin", "0", "--admin-token-file", &path]);
    server
        .log
        .wait_for(&format!("--admin-token-file {path}: every user of this machine can read it (chmod o-r)"));
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_service() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let path = scratch.path("a.sock");
    let address = format!("unix:{}", path.display());
    for (mode, bits) in [(None, 0o600), (Some("0660"), 0o660)] {
        let options: Vec<&str> = mode.iter().flat_map(|mode| ["--admin-mode", *mode]).collect();
        let options = [&["--admin", &address], &options[..]].concat();
        let mut server = Server::relay_with(&target.address, &options);
        Admin::of(&server).eventually_ready();
        assert_eq!(fs::metadata(&path).expect("made").permissions().mode() & 0o777, bits);
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        assert!(!path.exists());
    }
}

#[test]
fn requests_that_are_too_long_or_too_slow_or_none_are_told_so() {
    let target = Target::tcp();
    let server = Server::relay_with(&target.address, &["--admin", "0"]);
    let admin = Admin::of(&server);
    let host = admin.host();
    let put = format!("PUT /api/v1/readiness HTTP/1.1\r\nHost: {host}\r\nWebsockify-Admin: 1\r\n");
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n", "x".repeat(8192)), 431),
        (format!("{put}Content-Length: 4097\r\n\r\n"), 413),
        (format!("{put}Content-Length: 4096\r\n\r\n{}", " ".repeat(4096)), 400),
        (format!("{put}Content-Length: x\r\n\r\n"), 400),
        (format!("{put}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 411),
        (format!("{put}Content-Length: 2\r\n\r\n[]"), 400),
        (format!("{put}Content-Length: 14\r\n\r\n{{\"ready\": \"no\"}}"), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), 505),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        assert_eq!(admin.send(&request).status, status, "{request}");
    }
    // One that drips has ten seconds in all.
    let (mut slow, began) = (admin.connect(), Instant::now());
    slow.wire.send(b"GET / HT");
    let answer = slow.read_answer_to_end();
    assert_eq!(answer.status, 408);
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    // Those who say nothing hold no more than their threads' share, and end by themselves.
    let silent: Vec<Client> = (0..60).map(|_| admin.connect()).collect();
    eventually("an answer beside silent ones", || {
        let mut client = admin.connect();
        client.wire.send_what_goes(format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        client.wire.brings_something()
    });
    drop(silent);
}

#[test]
fn status_tells_what_the_service_is_doing() {
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--admin", "0", "--max-connections", "50"]);
    let admin = Admin::of(&server);
    admin.eventually_ready();
    let mut client = Client::open(&server);
    client.echo(b"hello");
    let status = admin.json("/api/v1/status");
    assert_eq!(status["name"], "websockify");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], server.pid());
    let instance = status["instance"].as_str().expect("text");
    assert!(instance.len() == 8 && instance.bytes().all(|byte| byte.is_ascii_hexdigit()), "{instance}");
    assert_eq!(status["state"], "ready");
    assert_eq!(status["not_ready"], serde_json::json!([]));
    assert_eq!(status["connections"], serde_json::json!({ "now": 1, "max": 50 }));
    assert_eq!(status["workers"], 1);
    let listener = serde_json::json!([{ "address": server.address().to_string(), "from": "command line" }]);
    assert_eq!(status["listeners"], listener);
    assert!(status["memory"]["resident_bytes"].as_u64().expect("a number") > 1 << 20);
    assert_eq!(status["memory"]["held_bytes_max"], 512 << 20);
    let started = status["started"].as_str().expect("text");
    assert!(started.len() == 24 && started.starts_with("20") && started.ends_with('Z'), "{started}");
    assert!(status["drain"].is_null() && status["reload"].is_null() && status["predecessor"].is_null());
}

#[test]
fn the_operator_takes_the_service_out_of_the_rotation_and_back() {
    let target = Target::tcp().echo();
    let options = ["--admin", "0", "--health-path", "/health"];
    let server = Server::relay_with(&target.address, &options);
    let admin = Admin::of(&server);
    admin.eventually_ready();
    let public =
        |line: &str| Client::connect(&server).ask(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).status;
    let all =
        || (public("GET /health HTTP/1.1"), public("HEAD /health?x HTTP/1.1"), public("OPTIONS / HTTP/1.1"));
    assert_eq!(all(), (200, 200, 204));
    let answer = admin.change("PUT", "/api/v1/readiness", "{\"ready\": false}");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"ready\":false}\n"));
    server.log.wait_for("admin: not ready from now on (by 127.0.0.1)");
    assert_eq!(all(), (503, 503, 503));
    let told = admin.get("/readyz");
    assert_eq!(
        (told.status, told.body.as_str()),
        (503, "[-]not-withdrawn failed: taken out by the operator\n")
    );
    assert_eq!(admin.json("/api/v1/status")["state"], "unready");
    assert_eq!(admin.get("/livez").status, 200);
    // The service goes on.
    Client::open(&server).echo(b"hello");
    assert_eq!(admin.change("PUT", "/api/v1/readiness", "{\"ready\": true}").status, 200);
    assert_eq!(all(), (200, 200, 204));
    let told = admin.get("/readyz?verbose").body;
    let all: Vec<&str> = told.lines().collect();
    let checks = ["live", "listening", "not-withdrawn", "not-draining", "not-full", "certificate"];
    let wanted: Vec<String> = checks.iter().map(|check| format!("[+]{check} ok")).collect();
    assert_eq!(
        (&all[..6], all.get(6)),
        (&wanted.iter().map(String::as_str).collect::<Vec<_>>()[..], Some(&"ready"))
    );
}

#[test]
fn the_health_path_is_before_the_password_and_leaves_upgrades_alone() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let web = scratch.arg("");
    fs::write(scratch.path("file"), "text").expect("written");
    let options =
        ["--health-path", "/health", "--web", &web, "--auth-plugin", "BasicHTTPAuth", "--auth-source", "a:b"];
    let server = Server::relay_with(&target.address, &[&options[..], &["--web-auth"]].concat());
    let get = |path: &str| {
        let mut client = Client::connect(&server);
        client.wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        client.read_answer_to_end()
    };
    let answer = get("/health");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    for path in ["/file", "/health/", "/healthx", "/"] {
        assert_eq!(get(path).status, 401, "{path}");
    }
    let upgrade = crate::common::client::UPGRADE.replace("GET / ", "GET /health ");
    assert_eq!(Client::connect(&server).ask(upgrade.as_bytes()).status, 401, "an upgrade stays one");
    assert_eq!(server.log.count("/health"), 0);
}

#[test]
fn a_full_service_is_not_ready_and_says_so() {
    let target = Target::tcp().echo();
    let options = ["--admin", "0", "--health-path", "/health", "--max-connections", "2"];
    let server = Server::relay_with(&target.address, &options);
    let admin = Admin::of(&server);
    admin.eventually_ready();
    let public = || Client::connect(&server).ask(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").status;
    let mut first = Client::open(&server);
    first.echo(b"hello");
    eventually("one place to be free for a probe", || public() == 200);
    let mut second = Client::open(&server);
    second.echo(b"hello");
    eventually("a full service", || admin.get("/readyz").body == "[-]not-full failed: 2 of 2\n");
    assert_eq!(admin.json("/api/v1/status")["state"], "full");
    assert_eq!(public(), 503);
    drop(second);
    eventually("a place to be free", || admin.get("/readyz").status == 200 && public() == 200);
}

#[test]
fn an_end_that_was_asked_for_is_not_ready_and_alive() {
    let target = Target::tcp().echo();
    let options = ["--admin", "0", "--timeout", "1"];
    let mut server = Server::relay_with(&target.address, &options);
    let admin = Admin::of(&server);
    let mut client = Client::open(&server);
    client.echo(b"hello");
    server.log.wait_for("listener exit due to --timeout 1");
    eventually("a service that is not ready", || admin.get("/readyz").status == 503);
    assert_eq!(admin.json("/api/v1/status")["state"], "draining");
    assert_eq!(admin.get("/livez").status, 200);
    client.close();
    assert_eq!(server.wait().code(), Some(0));
}

/// One thread of another process that is stopped, and goes on when this is dropped.
struct Stopped(Child);

impl Stopped {
    /// `None` where this user may not trace processes.
    fn thread(tid: u32) -> Option<Stopped> {
        // PTRACE_SEIZE and PTRACE_INTERRUPT stop this thread alone; a tracer that ends lets it go on.
        let script = "import ctypes, os, sys\n\
                      libc = ctypes.CDLL(None, use_errno=True)\n\
                      tid = int(sys.argv[1])\n\
                      ok = libc.ptrace(0x4206, tid, None, None) == 0 and libc.ptrace(0x4207, tid, None, None) == 0\n\
                      if ok: os.waitpid(tid, 0x40000000)\n\
                      print('stopped' if ok else ctypes.get_errno(), flush=True)\n\
                      sys.stdin.read()\n";
        let mut command = Command::new("python3");
        command.args(["-c", script, &tid.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let stopped = Stopped(child);
        if line.trim() != "stopped" {
            skipped(&format!("another process can't be traced here: {line}"));
            return None;
        }
        Some(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The thread of this name.
fn thread(server: &Server, name: &str) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs").flatten();
    let is_it = |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
    let found =
        tasks.map(|task| task.path()).find(|path| is_it(path)).unwrap_or_else(|| panic!("no thread {name}"));
    found.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("a number")
}

#[test]
fn a_thread_that_is_stuck_is_told_within_two_seconds_and_nothing_else_is() {
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--admin", "0", "--workers", "2"]);
    let admin = Admin::of(&server);
    admin.eventually_ready();
    // The main thread has the program's name.
    let main = (server.pid(), "the main thread");
    let reactors = ["reactor-0", "reactor-1"].map(|name| thread(&server, name));
    for (tid, told) in [(reactors[0], "worker 0"), (reactors[1], "worker 1"), main] {
        assert_eq!(admin.get("/livez").status, 200);
        let Some(stopped) = Stopped::thread(tid) else { return };
        let began = Instant::now();
        eventually("the process not to be alive", || admin.get("/livez").status == 503);
        let took = began.elapsed();
        assert!(took <= Duration::from_secs(2), "{took:?}");
        let answer = admin.get("/healthz");
        assert!(answer.body.starts_with(&format!("{told} has not answered for ")), "{answer:?}");
        assert_eq!(answer.body.lines().count(), 1, "the others are alive: {answer:?}");
        let ready = admin.get("/readyz");
        assert!(
            ready.body.starts_with(&format!("[-]live failed: {told} has not answered for ")),
            "{ready:?}"
        );
        assert_eq!(admin.json("/api/v1/status")["not_ready"], serde_json::json!(["live"]));
        drop(stopped);
        eventually("the process to be alive", || admin.get("/livez").status == 200);
    }
    Client::open(&server).echo(b"hello");
}

#[test]
fn without_an_admin_listener_there_is_no_thread_of_it() {
    let target = Target::tcp();
    let threads = |server: &Server| {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs").flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
        names.sort_unstable();
        names
    };
    let plain = Server::relay(&target.address);
    let without = threads(&plain);
    assert!(without.iter().all(|name| !name.starts_with("admin")), "{without:?}");
    let server = Server::relay_with(&target.address, &["--admin", "0"]);
    let with = threads(&server);
    assert_eq!(with.iter().filter(|name| name.starts_with("admin")).count(), 1, "{with:?}");
}

#[test]
fn no_session_leads_to_the_admin_listener() {
    let scratch = Scratch::new();
    let address = format!("127.0.0.1:{}", free_port());
    fs::write(scratch.path("tokens"), format!("t: {address}\nu: unix_socket:{}\n", scratch.arg("a.sock")))
        .expect("written");
    let tokens = scratch.arg("tokens");
    let options = ["--admin", &address, "--token-plugin", "TokenFile", "--token-source", &tokens];
    let server = Server::start(&[&options[..], &["127.0.0.1:0"]].concat());
    let mut client = Client::connect(&server);
    let upgrade = crate::common::client::UPGRADE.replace("GET / ", "GET /?token=t ");
    assert_eq!(client.ask(upgrade.as_bytes()).status, 101);
    assert_eq!(client.closed_with(1011), "Failed to connect to downstream server");
    server.log.wait_for("not allowed: this program listens there itself");
}
