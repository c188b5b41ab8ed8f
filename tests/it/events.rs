//! Logs for programs: an object for each event, and an access log. An operator who has nothing else can tell how each
//! session ended, by whose doing, and which client it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::client::{Client, UPGRADE, visit};
use crate::common::frame::Frame;
use crate::common::server::{Server, command};
use crate::common::target::Target;
use crate::common::{DEADLINE, Scratch, eventually, has};

/// The objects of a log so far. A line that is none is a failure, but for one that is being written.
fn objects(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(object).collect()
}

fn object(line: &str) -> Value {
    assert!(line.len() <= 16 * 1024, "{} bytes: {line}", line.len());
    let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    for key in ["timestamp", "severity", "event", "message", "service.instance.id", "process.pid"] {
        assert!(!object[key].is_null(), "{key} is missing: {line}");
    }
    object
}

/// Waits until so many objects of this event are there, and returns them.
fn wait_for(path: &Path, event: &str, count: usize) -> Vec<Value> {
    let of_event = || objects(path).into_iter().filter(|object| object["event"] == event).collect::<Vec<_>>();
    eventually(&format!("{count} objects of {event}"), || of_event().len() >= count);
    let found = of_event();
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

/// A gateway with an access log.
struct Place {
    server: Server,
    scratch: Scratch,
}

impl Place {
    fn new(target: &str, options: &[&str]) -> Place {
        let scratch = Scratch::new();
        let server =
            Server::relay_with(target, &[options, &["--access-log", &scratch.arg("access")]].concat());
        Place { server, scratch }
    }

    fn wait_for(&self, event: &str, count: usize) -> Vec<Value> {
        wait_for(&self.scratch.path("access"), event, count)
    }
}

#[test]
fn each_way_to_end_a_session_is_told_with_who_has_ended_it() {
    let target = Target::tcp();
    let place = Place::new(&target.address, &[]);
    let open = || {
        let client = Client::open(&place.server);
        (client, target.accept())
    };
    let mut ends = Vec::new();
    let mut next = |place: &Place| {
        let found = place.wait_for("session.end", ends.len() + 1);
        ends.push(found.last().cloned().expect("there is one"));
        ends.last().cloned().expect("it was pushed")
    };
    let told = |end: &Value| {
        let text = |key: &str| end[key].as_str().unwrap_or("-").to_owned();
        let number = |key: &str| end[key].as_u64().unwrap_or(0);
        (text("end"), text("end.by"), number("close.code"), number("close.sent"))
    };
    let row = |end: &str, by: &str, code, sent| (end.to_owned(), by.to_owned(), code, sent);

    // In order.
    let (mut client, mut wire) = open();
    client.send_binary(b"12345");
    assert_eq!(wire.read_exactly(5), b"12345");
    wire.send(b"1234567");
    assert_eq!(client.data(7), b"1234567");
    client.send(&Frame::close(1000, "bye"));
    client.closed_with(1000);
    let clean = next(&place);
    assert_eq!(told(&clean), row("client-closed", "client", 1000, 1000));
    assert_eq!((clean["bytes.up"].as_u64(), clean["bytes.down"].as_u64()), (Some(5), Some(7)));
    let (host, port) = target.address.rsplit_once(':').expect("an address");
    assert_eq!(
        (clean["server.address"].as_str(), clean["server.port"].to_string()),
        (Some(host), port.into())
    );
    assert_eq!(clean["network.target.address"].as_str(), Some(target.address.as_str()));
    assert!(clean["duration_seconds"].as_f64().is_some() && clean["connect_seconds"].as_f64().is_some());
    assert_eq!((clean["via"].as_str(), clean["network.transport"].as_str()), (Some("direct"), Some("tcp")));
    drop(wire);

    // With another code.
    let (mut client, _wire) = open();
    client.send(&Frame::close(1001, ""));
    client.closed_with(1001);
    assert_eq!(told(&next(&place)), row("client-closed", "client", 1001, 1001));

    // Without a word.
    let (client, _wire) = open();
    client.wire.finish();
    assert_eq!(told(&next(&place)), row("client-closed", "client", 1006, 0));

    // Vanished: its system says so, and the port is still known.
    let (client, _wire) = open();
    let port = client.wire.port();
    client.wire.reset();
    let gone = next(&place);
    assert_eq!(told(&gone), row("client-reset", "client", 1006, 0));
    assert_eq!(gone["client.port"], port);
    assert!(gone["error"].is_string());

    // Against the rules.
    let (mut client, _wire) = open();
    client.wire.send(b"\xff\xff");
    client.closed_with(1002);
    let broken = next(&place);
    assert_eq!(told(&broken), row("client-violated", "gateway", 1006, 1002));
    assert!(broken["error"].is_string());

    // By the target.
    let (mut client, wire) = open();
    drop(wire);
    client.closed_with(1000);
    client.send(&Frame::close(1000, ""));
    client.ended();
    assert_eq!(told(&next(&place)), row("target-closed", "target", 1000, 1000));
    let (mut client, mut wire) = open();
    // A reset that comes while it is dialled is one of a target that can't be reached.
    wire.send(b"x");
    client.data(1);
    wire.reset();
    client.closed_with(1011);
    client.send(&Frame::close(1011, ""));
    assert_eq!(told(&next(&place)), row("target-reset", "target", 1011, 1011));

    // By the operator.
    let mut place = place;
    let (mut client, _wire) = (Client::open(&place.server), target.accept());
    place.server.signal("TERM");
    client.closed_with(1001);
    client.send(&Frame::close(1001, ""));
    let stopped = next(&place);
    assert_eq!(told(&stopped), row("shutdown", "operator", 1001, 1001));
    place.server.wait();

    let names: BTreeSet<&str> = ends.iter().filter_map(|end| end["session.id"].as_str()).collect();
    assert_eq!(names.len(), ends.len(), "each has a name of its own");
    let instance = ends[0]["service.instance.id"].as_str().expect("a number");
    assert!(names.iter().all(|name| name.starts_with(&format!("{instance}-0-"))), "{names:?}");
}

#[test]
fn a_target_that_can_not_be_reached_is_told_with_the_reason() {
    let target = Target::refusing();
    let place = Place::new(&target.address, &[]);
    let mut client = Client::open(&place.server);
    client.closed_with(1011);
    client.send(&Frame::close(1011, ""));
    let [end] = &place.wait_for("session.end", 1)[..] else { panic!("one") };
    assert_eq!((end["end"].as_str(), end["end.by"].as_str()), (Some("unreachable"), Some("target")));
    assert_eq!(
        (end["severity"].as_str(), &end["error"]),
        (Some("warn"), &"[Errno 111] Connection refused".into())
    );
    assert!(end["connect_seconds"].is_null() && end["idle_seconds.up"].is_null(), "{end}");
}

#[test]
fn two_clients_behind_one_address_are_told_apart() {
    let target = Target::tcp().echo();
    let place = Place::new(&target.address, &["--workers", "2"]);
    let mut clients = [Client::open(&place.server), Client::open(&place.server)];
    clients[0].echo(b"one");
    clients[1].echo(b"another");
    let ports = clients.each_ref().map(|client| client.wire.port());
    clients.into_iter().for_each(Client::close);
    let ends = place.wait_for("session.end", 2);
    assert!(ends.iter().all(|end| end["client.address"] == "127.0.0.1"));
    for (port, bytes) in ports.into_iter().zip([3, 7]) {
        let end = ends.iter().find(|end| end["client.port"] == port).expect("the client's port");
        assert_eq!(end["bytes.up"].as_u64(), Some(bytes));
    }
    assert_ne!(ends[0]["session.id"], ends[1]["session.id"]);
}

#[test]
fn the_log_as_objects_tells_a_session_from_its_start_to_its_end() {
    let scratch = Scratch::new();
    let target = Target::tcp().echo();
    let log = scratch.path("log");
    let options = ["--log-format", "json", "--log-file", &scratch.arg("log")];
    let mut server = Server::relay_with(&target.address, &options);
    server.log.wait_for("\"event\":\"ready\"");
    let mut client = Client::connect(&server);
    let request = UPGRADE
        .replace("GET / ", "GET /websockify?token=secret&x=y ")
        .replace("\r\n\r\n", "\r\nUser-Agent: tests/1 \"quoted\"\r\n\r\n");
    assert_eq!(client.ask(request.as_bytes()).status, 101);
    client.echo(b"hello");
    client.close();
    wait_for(&log, "session.end", 1);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let lines = server.log.wait_for_end();
    assert_eq!(fs::read_to_string(&log).expect("a log").lines().collect::<Vec<_>>(), lines);
    let objects: Vec<Value> = lines.iter().map(|line| object(line)).collect();
    let events: Vec<&str> = objects.iter().filter_map(|object| object["event"].as_str()).collect();
    let expected = [
        "start",
        "ready",
        "session.start",
        "session.connecting",
        "session.connected",
        "session.end",
        "stop",
        "drain",
    ];
    let mut order = events.clone();
    order.dedup();
    let mut sorted = order.clone();
    let place = |event: &&str| expected.iter().position(|expected| expected == event);
    sorted.sort_by_key(place);
    assert_eq!(sorted, expected, "{order:?}");
    let of = |event: &str| objects.iter().find(|object| object["event"] == event).expect("it is there");
    let (start, end) = (of("session.start"), of("session.end"));
    assert_eq!(start["message"], "Plain non-SSL (ws://) WebSocket connection");
    assert_eq!((&start["url.path"], &start["url.query"]), (&"/websockify".into(), &"token=***&x=***".into()));
    assert_eq!(start["user_agent.original"], "tests/1 \"quoted\"");
    assert_eq!(start["session.id"], end["session.id"]);
    assert_eq!(of("session.connecting")["message"], format!("connecting to: {}", target.address));
    assert_eq!(end["message"], format!("{}: Client closed connection", target.address));
    assert_eq!(of("session.connected")["network.target.address"], target.address.as_str());
}

#[test]
fn a_request_that_looks_like_an_upgrade_and_is_none_is_told_with_the_header_that_is_missing_or_wrong() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("web")).expect("a directory");
    fs::write(scratch.path("web").join("page"), "page").expect("a file");
    let place = Place::new("127.0.0.1:1", &["--web", &scratch.arg("web")]);
    let head = "GET /page HTTP/1.1\r\nHost: a\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let rows = [
        (String::new(), 200, None),
        ("Connection: Upgrade\r\n".into(), 200, Some("Upgrade header is missing, though connection asks")),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\n".into(), 200, Some("Upgrade is 'h2c' and not 'websocket'")),
        (
            "Sec-WebSocket-Protocol: binary\r\n".into(),
            200,
            Some("Upgrade header is missing, though sec-websocket-protocol"),
        ),
        (key.into(), 426, Some("WebSocket handshake without \"Upgrade: websocket\": the proxy")),
        (upgrade.into(), 400, Some("Sec-WebSocket-Version header is missing")),
        (format!("{upgrade}Sec-WebSocket-Version: 13\r\n"), 400, Some("Sec-WebSocket-Key header is missing")),
        (
            format!("{upgrade}{key}Sec-WebSocket-Version: 99\r\n"),
            426,
            Some("WebSocket version is not supported"),
        ),
    ];
    for (count, (headers, status, reason)) in rows.iter().enumerate() {
        let mut client = Client::connect(&place.server);
        client.wire.send(format!("{head}{headers}\r\n").as_bytes());
        assert_eq!(client.read_head().status, *status, "{headers}");
        let requests = place.wait_for("http.request", count + 1);
        let request = requests.last().expect("it is there");
        assert_eq!(request["http.response.status_code"].as_u64(), Some(u64::from(*status)));
        assert_eq!((&request["http.request.method"], &request["url.path"]), (&"GET".into(), &"/page".into()));
        match reason {
            Some(reason) => {
                assert!(request["reason"].as_str().unwrap_or("").starts_with(reason), "{request}")
            }
            None => assert!(request["reason"].is_null(), "{request}"),
        }
    }
    let served = &place.wait_for("http.request", rows.len())[0];
    assert_eq!(served["http.response.body.size"].as_u64(), Some(4));
    assert_eq!(place.wait_for("session.end", 0).len(), 0);
}

#[test]
fn the_access_log_can_be_standard_output_and_the_log_stays_as_it_is() {
    let target = Target::tcp().echo();
    let mut server = Server::relay_with(&target.address, &["--access-log", "-"]);
    visit(&server, "/");
    server.stdout.wait_for("session.end");
    server.signal("TERM");
    server.wait();
    let events: Vec<Value> = server.stdout.wait_for_end().iter().map(|line| object(line)).collect();
    let [end] = &events[..] else { panic!("{events:#?}") };
    assert_eq!(end["end"], "client-closed");
    assert!(server.log.wait_for_end().iter().all(|line| !line.starts_with('{')));
}

#[test]
fn a_level_leaves_out_what_matters_less() {
    let target = Target::refusing();
    let mut server = Server::spawn(&mut command(&[
        "--log-level",
        "warn",
        "--log-format",
        "json",
        "--access-log",
        "-",
        "127.0.0.1:0",
        &target.address,
    ]));
    server.wait_for_listener();
    let mut client = Client::open(&server);
    client.closed_with(1011);
    client.send(&Frame::close(1011, ""));
    server.stdout.wait_for("session.end");
    server.signal("TERM");
    server.wait();
    let lines = server.log.wait_for_end();
    let events: BTreeSet<String> = lines
        .iter()
        .map(|line| object(line))
        .inspect(|object| assert_eq!(object["severity"], "warn", "{object}"))
        .filter_map(|object| Some(object["event"].as_str()?.to_owned()))
        .collect();
    assert!(events.contains("session.failed") && events.contains("session.end"), "{events:?}");
}

#[test]
fn standard_output_is_for_one_only() {
    for other in ["--traffic", "--daemon"] {
        let mut server =
            Server::spawn(&mut command(&["--access-log", "-", other, "127.0.0.1:0", "127.0.0.1:1"]));
        assert_eq!(server.wait().code(), Some(2));
        server.log.wait_for(&format!("You can't use --access-log - with {other}"));
    }
    let mut server =
        Server::spawn(&mut command(&["--access-log", "/nowhere/x", "127.0.0.1:0", "127.0.0.1:1"]));
    assert_eq!(server.wait().code(), Some(1));
    server.log.wait_for("--access-log /nowhere/x: [Errno 2] No such file or directory");
}

#[test]
fn syslog_gets_the_objects_as_its_messages() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let daemon = UnixDatagram::bind(scratch.path("syslog")).expect("a socket");
    daemon.set_read_timeout(Some(DEADLINE)).expect("an option");
    let options = ["--syslog", &scratch.arg("syslog"), "--log-format", "json"];
    let server = Server::relay_with(&target.address, &options);
    server.log.wait_for("\"event\":\"ready\"");
    visit(&server, "/");
    let mut events = Vec::new();
    while events.last().is_none_or(|event| event != "session.end") {
        let mut space = [0; 16 * 1024];
        let count = daemon.recv(&mut space).expect("a message");
        let message = String::from_utf8(space[..count].to_vec()).expect("text");
        let (head, json) = message.split_at(message.find('{').expect("an object"));
        assert!(head.starts_with('<') && head.ends_with(" - - "), "{message}");
        events.push(object(json)["event"].as_str().unwrap_or_default().to_owned());
    }
}

#[test]
fn a_rotation_by_logrotate_loses_no_line_of_either_file() {
    if !has("logrotate") {
        return;
    }
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let (access, log) = (scratch.path("access"), scratch.path("log"));
    let server = Server::relay_with(
        &target.address,
        &["--access-log", &scratch.arg("access"), "--log-file", &scratch.arg("log"), "--log-format", "text"],
    );
    visit(&server, "/");
    wait_for(&access, "session.end", 1);
    let configuration = format!(
        "{} {} {{\n  rotate 5\n  missingok\n  nocompress\n  sharedscripts\n  postrotate\n    kill -HUP {}\n  endscript\n}}\n",
        access.display(),
        log.display(),
        server.pid()
    );
    let file = scratch.path("logrotate.conf");
    fs::write(&file, configuration).expect("written");
    let mut rotate = Command::new("logrotate");
    rotate.args(["--force", "--state", &scratch.arg("state")]).arg(&file);
    let out = rotate.output().expect("it runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    eventually("both files to be opened anew", || access.exists() && log.exists());
    visit(&server, "/");
    wait_for(&access, "session.end", 1);
    wait_for(&scratch.path("access.1"), "session.end", 1);
    let lines = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    assert!(lines(&scratch.path("log.1")).contains("proxying from"));
    eventually("the new log", || lines(&log).contains("WebSocket connection"));
    assert!(!lines(&log).contains("proxying from"));
}

#[test]
fn the_queries_of_the_manual_give_what_it_says() {
    if !has("jq") {
        return;
    }
    let target = Target::tcp().echo();
    let place = Place::new(&target.address, &[]);
    visit(&place.server, "/");
    visit(&place.server, "/");
    place.wait_for("session.end", 2);
    let manual = include_str!("../../docs/operating.md");
    let queries: Vec<&str> = manual.lines().filter(|line| line.starts_with("jq ")).collect();
    assert!(queries.len() >= 3, "{queries:?}");
    let mut answers = BTreeMap::new();
    for query in queries {
        let line = query.replace("access.log", &place.scratch.arg("access"));
        let out = Command::new("sh").args(["-c", &line]).output().expect("a shell");
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        answers.insert(query, String::from_utf8(out.stdout).expect("text"));
    }
    let counts =
        answers.iter().find(|(query, _)| query.contains("group_by(.end)")).expect("a count of endings").1;
    assert!(counts.contains("client-closed") && counts.contains('2'), "{counts}");
}
