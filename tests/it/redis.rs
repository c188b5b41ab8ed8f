//! TokenRedis against a real `redis-server`, through its restarts, passwords, stops and TLS; and against servers that
//! are none.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::common::client::{Client, UPGRADE, visit};
use crate::common::server::{Server, command};
use crate::common::target::Target;
use crate::common::{Scratch, eventually, has, tls};

/// A Redis server of the test's own. It is killed at the end.
pub(super) struct Redis {
    child: Child,
    port: u16,
    scratch: Scratch,
    options: Vec<String>,
}

impl Redis {
    /// Starts one; nothing, with a line about it, where it is not installed.
    pub(super) fn start(options: &[&str]) -> Option<Self> {
        Self::start_at("--port", options)
    }

    fn start_at(port_option: &str, options: &[&str]) -> Option<Self> {
        if !has("redis-server") || !has("redis-cli") {
            return None;
        }
        let scratch = Scratch::new();
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").expect("bind");
            let port = free.local_addr().expect("bound").port();
            drop(free);
            let mut all: Vec<String> = vec![port_option.to_owned(), port.to_string()];
            all.extend(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(str::to_owned));
            all.extend(["--dir".to_owned(), scratch.arg(""), "--logfile".to_owned(), scratch.arg("log")]);
            all.extend(options.iter().map(|&option| option.to_owned()));
            let mut child = launch(&all);
            let start = Instant::now();
            loop {
                let log = std::fs::read_to_string(scratch.path("log")).unwrap_or_default();
                if log.contains("Ready to accept connections") {
                    return Some(Self { child, port, scratch, options: all });
                }
                // Somebody else took the port.
                if child.try_wait().expect("wait").is_some() {
                    break;
                }
                assert!(start.elapsed() < Duration::from_secs(60), "Redis does not start");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("no port for Redis");
    }

    /// What the server's own client prints.
    pub(super) fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(words);
        let output = command.output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(super) fn set(&self, key: &str, value: &str) {
        assert_eq!(self.cli(&["set", key, value]), "OK");
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn restart(&mut self) {
        self.stop();
        self.child = launch(&self.options);
        let port = self.port;
        eventually("Redis is back", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    fn number(&self, name: &str) -> u64 {
        let info = self.cli(&["info"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{name} in {info}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn launch(options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server starts")
}

fn start(source: &str, options: &[&str]) -> Server {
    let plugin = ["--token-plugin", "TokenRedis", "--token-source", source];
    Server::start(&[&plugin, options, &["127.0.0.1:0"]].concat())
}

fn status(server: &Server, token: &str) -> u16 {
    let mut client = Client::connect(server);
    let request = UPGRADE.replace("GET / ", &format!("GET /websockify?token={token} "));
    client.ask(request.as_bytes()).status
}

#[test]
fn each_client_is_led_where_redis_says() {
    let Some(redis) = Redis::start(&[]) else { return };
    let target = Target::tcp().echo();
    let address = &target.address;
    redis.set("one", address);
    redis.set("json", &format!("{{\"host\": \"{address}\"}}"));
    redis.set("space", &format!(" {address}\n"));
    redis.set("ns:inner", address);
    redis.set("a:b:inner", address);
    assert_eq!(redis.cli(&["-n", "3", "set", "third", address]), "OK");
    let server = start(&redis.address(), &[]);
    server.log.wait_for(&format!("TokenRedis backend initialized ({})", redis.address()));
    server.log.wait_for("to targets generated by TokenRedis");
    let before = redis.number("total_connections_received");
    for token in ["one", "json", "space", "ns:inner", "one", "json", "one"] {
        visit(&server, &format!("/websockify?token={token}"));
    }
    assert_eq!(status(&server, "absent"), 404);
    // Its own, and that of the one who counts.
    assert_eq!(redis.number("total_connections_received") - before, 2, "the connection is kept");
    for (key, value) in
        [("bad", "nonsense"), ("badjson", "{\"host\": 5}"), ("large", "h:70000"), ("empty", "")]
    {
        redis.set(key, value);
        assert_eq!(status(&server, key), 503, "{key}");
    }
    assert_eq!(redis.cli(&["lpush", "list", "x"]), "1");
    assert_eq!(status(&server, "list"), 503);
    server.log.wait_for("the token's key holds no string (WRONGTYPE)");
    visit(&server, "/websockify?token=one");
    let port = redis.port;
    for (source, token) in [
        (format!("127.0.0.1:{port}:3"), "third"),
        (format!("127.0.0.1:{port}:::ns"), "inner"),
        (format!("127.0.0.1:{port}:::\"a:b\""), "inner"),
        (format!("localhost:{port}::not needed:ns"), "inner"),
        (format!("redis://127.0.0.1:{port}"), "one"),
        (format!("redis://:unneeded@127.0.0.1:{port}/3"), "third"),
        (format!("redis://127.0.0.1:{port}//a%3Ab"), "inner"),
    ] {
        visit(&start(&source, &[]), &format!("/?token={token}"));
    }
    assert_eq!(status(&start(&format!("127.0.0.1:{port}:99"), &[]), "one"), 503, "there is no such database");
    let output =
        command(&["--token-plugin", "TokenRedis", "--token-source", "h:1:2:hunter2:n:six", "0"]).output();
    let text = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    assert!(
        text.contains("not in the expected format <host>[:<port>[:<db>") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn a_socket_from_redis_needs_a_rule() {
    let Some(redis) = Redis::start(&[]) else { return };
    let scratch = Scratch::new();
    let path = scratch.arg("s");
    let _socket = Target::unix(Path::new(&path)).echo();
    redis.set("unix", &format!("unix_socket:{path}"));
    visit(&start(&redis.address(), &["--allow-target", &format!("unix:{path}")]), "/?token=unix");
    let server = start(&redis.address(), &[]);
    let mut client = Client::connect(&server);
    assert_eq!(client.ask(UPGRADE.replace("GET / ", "GET /?token=unix ").as_bytes()).status, 101);
    client.closed_with(1011);
}

#[test]
fn passwords_are_sent_and_never_logged() {
    let Some(redis) = Redis::start(&["--requirepass", "hunter2"]) else { return };
    let target = Target::tcp().echo();
    let admin = |words: &[&str]| redis.cli(&[&["--no-auth-warning", "-a", "hunter2"], words].concat());
    assert_eq!(admin(&["set", "one", &target.address]), "OK");
    assert_eq!(admin(&["acl", "setuser", "gate", "on", ">hunt:er3", "~*", "+get", "+select"]), "OK");
    let port = redis.port;
    for source in [
        format!("127.0.0.1:{port}::hunter2"),
        format!("redis://:hunter2@127.0.0.1:{port}/0"),
        format!("redis://default:hunter2@127.0.0.1:{port}"),
        format!("redis://gate:hunt%3Aer3@127.0.0.1:{port}"),
    ] {
        let mut server = start(&source, &["-v"]);
        visit(&server, "/?token=one");
        server.signal("TERM");
        server.wait();
        let lines = server.log.wait_for_end().join("\n");
        assert!(!lines.contains("hunt"), "{lines}");
    }
    for (source, why) in [
        (format!("127.0.0.1:{port}::hunter9"), "the password is refused (WRONGPASS)"),
        (format!("redis://nobody:hunter2@127.0.0.1:{port}"), "the password is refused (WRONGPASS)"),
        (format!("127.0.0.1:{port}"), "it wants a password (NOAUTH)"),
    ] {
        let mut server = start(&source, &["-v"]);
        assert_eq!(status(&server, "one"), 503, "{why}");
        assert_eq!(status(&server, "one"), 503, "{why}");
        server.log.expect(why, 2);
        server.signal("TERM");
        server.wait();
        assert!(!server.log.wait_for_end().join("\n").contains("hunt"));
    }
    // What a user may not do.
    let once = start(&format!("redis://gate:hunt%3Aer3@127.0.0.1:{port}"), &["--token-once"]);
    assert_eq!(status(&once, "one"), 503);
    once.log.wait_for("GETDEL is refused (NOPERM)");
}

#[test]
fn a_restart_in_the_middle_is_noticed_by_nobody_who_comes_later() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let target = Target::tcp().echo();
    redis.set("one", &target.address);
    let server = start(&redis.address(), &[]);
    let mut session = Client::connect(&server);
    assert_eq!(session.ask(UPGRADE.replace("GET / ", "GET /?token=one ").as_bytes()).status, 101);
    session.echo(b"before");
    // A kept connection that died costs nobody an error.
    redis.restart();
    redis.set("one", &target.address);
    visit(&server, "/?token=one");
    assert!(redis.cli(&["client", "kill", "type", "normal"]).parse::<u32>().unwrap() >= 1);
    visit(&server, "/?token=one");
    redis.stop();
    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!(status(&server, "one"), 503);
        assert!(began.elapsed() < Duration::from_secs(9), "no look-up runs into the deadline");
    }
    session.echo(b"while it is gone");
    redis.restart();
    redis.set("one", &target.address);
    eventually("look-ups work again", || status(&server, "one") == 101);
    visit(&server, "/?token=one");
    // One line for the outage, one for its end.
    server.log.expect("warning: TokenRedis: ", 1);
    server.log.expect("answers again", 1);
    session.echo(b"after");
}

#[test]
fn look_ups_at_a_server_that_is_stopped_end_in_time_and_harm_no_session() {
    let Some(redis) = Redis::start(&[]) else { return };
    let target = Target::tcp().echo();
    redis.set("one", &format!("localhost:{}", target.address.rsplit(':').next().unwrap()));
    let server = start(&redis.address(), &[]);
    let mut session = Client::connect(&server);
    assert_eq!(session.ask(UPGRADE.replace("GET / ", "GET /?token=one ").as_bytes()).status, 101);
    redis.signal("STOP");
    let began = Instant::now();
    let mut hanging: Vec<Client> = (0..50).map(|_| Client::connect(&server)).collect();
    for client in &mut hanging {
        client.wire.send(UPGRADE.replace("GET / ", "GET /?token=one ").as_bytes());
    }
    let mut rounds = 0;
    while began.elapsed() < Duration::from_secs(2) {
        session.echo(b"hello");
        rounds += 1;
    }
    assert!(rounds > 100, "{rounds} echoes in two seconds");
    for client in &mut hanging {
        assert_eq!(client.read_head().status, 503);
    }
    let time = began.elapsed();
    assert!(time < Duration::from_secs(12), "{time:?}");
    redis.signal("CONT");
    eventually("look-ups work again", || status(&server, "one") == 101);
    session.echo(b"after");
}

#[test]
fn a_token_that_is_used_once_is_good_for_one_session_over_all_instances() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let target = Target::tcp().echo();
    let address = redis.address();
    let servers = [start(&address, &["--token-once"]), start(&address, &["--token-once"])];
    for round in 0..5 {
        redis.set("one", &target.address);
        let (barrier, statuses) = (Barrier::new(20), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for number in 0..20 {
                let (server, barrier, statuses) = (&servers[number % 2], &barrier, &statuses);
                scope.spawn(move || {
                    let mut client = Client::connect(server);
                    barrier.wait();
                    let request = UPGRADE.replace("GET / ", "GET /?token=one ");
                    statuses.lock().unwrap().push(client.ask(request.as_bytes()).status);
                });
            }
        });
        let statuses = statuses.into_inner().unwrap();
        assert_eq!(
            statuses.iter().filter(|&&status| status == 101).count(),
            1,
            "round {round}: {statuses:?}"
        );
        assert!(statuses.iter().all(|&status| status == 101 || status == 404), "round {round}: {statuses:?}");
        assert_eq!(redis.cli(&["exists", "one"]), "0");
    }
    // Connections that died meanwhile don't use a token up.
    redis.restart();
    redis.set("two", &target.address);
    assert_eq!(status(&servers[0], "two"), 101);
    assert_eq!(status(&servers[0], "two"), 404);
}

#[test]
fn what_redis_has_found_is_kept_for_the_time_of_token_cache() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let target = Target::tcp().echo();
    redis.set("one", &target.address);
    let server = start(&redis.address(), &["--token-cache", "600"]);
    visit(&server, "/?token=one");
    assert_eq!(status(&server, "two"), 404);
    redis.stop();
    visit(&server, "/?token=one");
    assert_eq!(status(&server, "two"), 503);
}

#[test]
fn redis_over_tls_is_believed_by_ssl_cert_file() {
    let identity = tls::identity();
    let (cert, key) = (identity.cert.display().to_string(), identity.key.display().to_string());
    let options = [
        "--port",
        "0",
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &cert,
        "--tls-auth-clients",
        "no",
    ];
    let Some(redis) = Redis::start_at("--tls-port", &options) else { return };
    let target = Target::tcp().echo();
    assert_eq!(
        redis.cli(&["--tls", "--cacert", &cert, "-h", "localhost", "set", "one", &target.address]),
        "OK"
    );
    let begin = |source: &str, ca: &str| {
        let mut command = command(&["--token-plugin", "TokenRedis", "--token-source", source, "127.0.0.1:0"]);
        Server::launch(command.env("SSL_CERT_FILE", ca))
    };
    let source = format!("rediss://localhost:{}", redis.port);
    let server = begin(&source, &cert);
    for _ in 0..3 {
        visit(&server, "/?token=one");
    }
    let other = redis.scratch.path("other.pem");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let pem = params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a certificate").pem();
    std::fs::write(&other, pem).unwrap();
    for server in [
        begin(&source, &other.display().to_string()),
        begin(&format!("rediss://127.0.0.1:{}", redis.port), &cert),
        begin(&format!("redis://localhost:{}", redis.port), &cert),
    ] {
        assert_eq!(status(&server, "one"), 503);
    }
}

#[test]
fn what_is_no_redis_is_an_error_that_tells_nothing() {
    let service = |answer: &'static [u8], more: usize| {
        Target::tcp().serve(move |mut wire| {
            let mut seen = Vec::new();
            while !seen.ends_with(b"tOk3nS3cret\r\n") && wire.brings_something_into(&mut seen) {}
            for _ in 0..=more {
                wire.send_what_goes(answer);
            }
        })
    };
    let megabyte = vec![b'x'; 1 << 20].leak();
    for (answer, more) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], 0),
        (b"*1\r\n$11\r\ntOk3nS3cret\r\n", 0),
        (b"$99999999\r\n", 0),
        (b"$5\r\nab", 0),
        (b"", 0),
        (b"+OK\r\n", 0),
        (b"$14\r\n127.0.0.1:5900\r\n$14\r\n127.0.0.1:5900\r\n", 0),
        (b"-ERR unknown command 'GET', with args beginning with: 'tOk3nS3cret'\r\n", 0),
        (b"-tOk3nS3cret\r\n", 0),
        (megabyte, 8),
        (b"+", 1 << 20),
    ] {
        let text = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
        let service = service(answer, more);
        let mut server = start(&service.address, &["-v"]);
        let began = Instant::now();
        assert_eq!(status(&server, "tOk3nS3cret"), 503, "{text:?}");
        assert!(began.elapsed() < Duration::from_secs(9), "{text:?} ran into the deadline");
        server.signal("TERM");
        server.wait();
        assert!(!server.log.wait_for_end().join("\n").contains("tOk3nS3cret"), "{text:?}");
    }
}

/// The command line of the field that has this plugin, but for its paths and ports.
#[test]
fn the_command_line_of_the_field_works() {
    let Some(redis) = Redis::start(&[]) else { return };
    let target = Target::tcp().echo();
    redis.set("one", &target.address);
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("noVNC")).unwrap();
    std::fs::write(scratch.path("noVNC/vnc.html"), "page").unwrap();
    let identity = tls::identity();
    let pem = scratch.arg("self.pem");
    let both = [&identity.cert, &identity.key].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(&pem, both).unwrap();
    let source = redis.address();
    let mut server = Server::start(&[
        "--cert",
        &pem,
        "--web",
        &scratch.arg("noVNC"),
        "127.0.0.1:0",
        "--token-plugin",
        "TokenRedis",
        "--token-source",
        &source,
        "--ssl-only",
        "--ssl-version",
        "tlsv1_2",
    ]);
    server.is_secure = true;
    visit(&server, "/websockify?token=one");
    let page = Client::connect(&server).ask(b"GET /vnc.html HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(page.status, 200);
    assert_eq!(status(&server, "two"), 404);
}
