//! `/metrics`: that Prometheus and others read it, that it counts what happens, and that nobody outside decides how
//! many series there are.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::admin::Admin;
use crate::common::client::{Client, UPGRADE};
use crate::common::frame::Frame;
use crate::common::process::{may_open, size};
use crate::common::server::Server;
use crate::common::target::{Service, Target};
use crate::common::tls::identity;
use crate::common::{Scratch, debian, eventually, skipped, text};

/// The page.
fn page(admin: &Admin) -> String {
    let answer = admin.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.body
}

/// The value of one series, labels as they stand there.
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{page}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

/// The names of all series, without their values.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// Prometheus's own tool.
fn promtool(args: &[&str], input: &str) -> Option<Output> {
    let mut command = debian::command(&debian::path("promtool", debian::PROGRAMS)?);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    Some(child.wait_with_output().expect("it ends"))
}

#[test]
fn what_happens_is_counted() {
    let target = Target::tcp().echo();
    let options = ["--admin", "0", "--workers", "2", "--max-connections", "50"];
    let server = Server::relay_with(&target.address, &options);
    let admin = Admin::of(&server);
    admin.eventually_ready();
    let before = page(&admin);
    assert_eq!(value(&before, "websockify_sessions{transport=\"ws\"}"), 0.0);
    assert_eq!(value(&before, "websockify_state{state=\"ready\"}"), 1.0);
    assert_eq!(value(&before, "websockify_connections_max"), 50.0);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::open(&server)).collect();
    for client in &mut clients {
        client.echo(&[7; 1000]);
    }
    let during = page(&admin);
    for (series, expected) in [
        ("websockify_sessions{transport=\"ws\"}", 4.0),
        ("websockify_sessions{transport=\"wss\"}", 0.0),
        ("websockify_sessions_opened_total{transport=\"ws\"}", 4.0),
        ("websockify_connections_by_stage{stage=\"relay\"}", 4.0),
        ("websockify_connections_by_stage{stage=\"handshake\"}", 0.0),
        ("websockify_relayed_bytes_total{direction=\"up\"}", 4000.0),
        ("websockify_relayed_bytes_total{direction=\"down\"}", 4000.0),
        ("websockify_connects_total{result=\"ok\"}", 4.0),
        ("websockify_connect_seconds_count", 4.0),
        ("websockify_http_responses_total{code=\"101\"}", 4.0),
        ("websockify_connections{worker=\"0\"}", 2.0),
        ("websockify_connections{worker=\"1\"}", 2.0),
        ("websockify_workers", 2.0),
        ("websockify_session_duration_seconds_count", 0.0),
    ] {
        assert_eq!(value(&during, series), expected, "{series}");
    }
    assert!(value(&during, "process_resident_memory_bytes") > 1e6);
    assert!(value(&during, "websockify_worker_cpu_seconds_total{worker=\"0\"}") > 0.0);
    assert!(value(&during, "process_open_fds") >= 8.0);
    // Two leave with a Close, one without, and one breaks the protocol.
    clients.pop().expect("four").close();
    clients.pop().expect("three").close();
    drop(clients.pop());
    let mut last = clients.pop().expect("one");
    last.send(&Frame::binary(b"x").unmasked());
    last.closed_with(1002);
    drop(last);
    eventually("all to be gone", || value(&page(&admin), "websockify_connections{worker=\"0\"}") == 0.0);
    eventually("all to be gone", || value(&page(&admin), "websockify_connections{worker=\"1\"}") == 0.0);
    let after = page(&admin);
    for (series, expected) in [
        ("websockify_sessions{transport=\"ws\"}", 0.0),
        ("websockify_session_duration_seconds_count", 4.0),
        ("websockify_connections_by_stage{stage=\"relay\"}", 0.0),
        ("websockify_connections_by_stage{stage=\"close\"}", 0.0),
        ("websockify_connection_endings_total{reason=\"client-closed\"}", 3.0),
        ("websockify_connection_endings_total{reason=\"client-violated\"}", 1.0),
        ("websockify_close_frames_total{by=\"client\",code=\"1000\"}", 2.0),
        ("websockify_close_frames_total{by=\"us\",code=\"1002\"}", 1.0),
    ] {
        assert_eq!(value(&after, series), expected, "{series}");
    }
}

#[test]
fn a_target_that_is_not_there_and_a_request_that_is_refused_are_counted() {
    let target = Target::refusing();
    let server = Server::relay_with(&target.address, &["--admin", "0"]);
    let admin = Admin::of(&server);
    let mut client = Client::open(&server);
    client.closed_with(1011);
    assert_eq!(Client::connect(&server).ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
    let page = page(&admin);
    assert_eq!(value(&page, "websockify_connects_total{result=\"refused\"}"), 1.0);
    assert_eq!(value(&page, "websockify_close_frames_total{by=\"us\",code=\"1011\"}"), 1.0);
    assert_eq!(value(&page, "websockify_http_responses_total{code=\"405\"}"), 1.0);
}

#[test]
fn a_client_that_does_not_read_is_a_stalled_session() {
    let target = Target::tcp().serve(|mut wire| wire.send_what_goes(&vec![0; 64 << 20]));
    let server = Server::relay_with(&target.address, &["--admin", "0"]);
    let admin = Admin::of(&server);
    let series = "websockify_stalled_sessions{direction=\"down\"}";
    let client = Client::connect_narrow(&server).upgrade();
    eventually("a stalled session", || value(&page(&admin), series) == 1.0);
    assert!(value(&page(&admin), "websockify_held_bytes") >= 0.0);
    drop(client);
    eventually("nobody to be stalled", || value(&page(&admin), series) == 0.0);
}

#[test]
fn promtool_and_the_python_client_find_nothing_to_say() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let (cert, key) = (text(&identity().cert), text(&identity().key));
    fs::write(scratch.path("tokens"), format!("t: {}\n", target.address)).expect("written");
    let tokens = scratch.arg("tokens");
    let server = Server::start(&[
        "--admin",
        "0",
        "--workers",
        "2",
        "--heartbeat",
        "1",
        "--cert",
        &cert,
        "--key",
        &key,
        "--token-plugin",
        "TokenFile",
        "--token-source",
        &tokens,
        "--auth-plugin",
        "ExpectOrigin",
        "--auth-source",
        "http://a.example",
        "127.0.0.1:0",
    ]);
    let admin = Admin::of(&server);
    admin.eventually_ready();
    for token in ["t", "unknown"] {
        let upgrade = UPGRADE.replace("GET / ", &format!("GET /?token={token} "));
        let upgrade = upgrade.replace("Host:", "Origin: http://a.example\r\nHost:");
        Client::connect_bare(&server).ask(upgrade.as_bytes());
    }
    let page = page(&admin);
    assert_eq!(value(&page, "websockify_lookups_total{plugin=\"TokenFile\",result=\"found\"}"), 1.0);
    assert_eq!(value(&page, "websockify_lookups_total{plugin=\"TokenFile\",result=\"unknown\"}"), 1.0);
    assert_eq!(value(&page, "websockify_lookup_seconds_count{plugin=\"TokenFile\"}"), 2.0);
    assert_eq!(value(&page, "websockify_auth_total{plugin=\"ExpectOrigin\",result=\"ok\"}"), 2.0);
    assert!(value(&page, "websockify_certificate_expiry_timestamp_seconds{pair=\"0\"}") > 1.7e9);
    if let Some(output) = promtool(&["check", "metrics"], &page) {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
    let script = "import sys\n\
                  from prometheus_client.parser import text_string_to_metric_families as parse\n\
                  families = list(parse(sys.stdin.read()))\n\
                  assert len({f.name for f in families}) == len(families), 'a family comes twice'\n\
                  assert all(f.documentation and f.type != 'unknown' for f in families), families\n\
                  print(sum(len(f.samples) for f in families))\n";
    let python = std::env::var("WEBSOCKIFY_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = Command::new(python);
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python");
    child.stdin.take().expect("piped").write_all(page.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("No module named 'prometheus_client'") {
        return skipped("prometheus_client is not installed for python3");
    }
    assert!(output.status.success(), "{complaint}");
    let count: usize = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    assert_eq!(count, series(&page).len(), "every series is read");
}

#[test]
fn the_rules_that_come_along_are_sound_and_fire_when_they_should() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prometheus");
    for (args, file) in [(["check", "rules"], "rules.yml"), (["test", "rules"], "rules_test.yml")] {
        let path = rules.join(file);
        let Some(output) = promtool(&[&args[..], &[path.to_str().expect("text")]].concat(), "") else {
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// The names of metrics that a text speaks of.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let is_name = |word: &&str| word.starts_with("websockify_") || word.starts_with("process_");
    words.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_speak_of_metrics_that_exist() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let (cert, key) = (text(&identity().cert), text(&identity().key));
    fs::write(scratch.path("tokens"), format!("t: {}\n", target.address)).expect("written");
    let tokens = scratch.arg("tokens");
    let options = ["--admin", "0", "--cert", &cert, "--key", &key, "--token-plugin", "TokenFile"];
    let server = Server::start(&[&options[..], &["--token-source", &tokens, "127.0.0.1:0"]].concat());
    let there = names(&page(&Admin::of(&server)));
    for file in ["examples/prometheus/rules.yml", "examples/grafana/websockify.json"] {
        let words =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("it is there");
        let missing: Vec<String> = names(&words).difference(&there).cloned().collect();
        assert!(missing.is_empty(), "{file}: {missing:?}");
    }
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/grafana/websockify.json");
    let dashboard: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dashboard).expect("it is there")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    assert!(panels.len() >= 10);
    assert!(panels.iter().all(|panel| panel["description"].as_str().is_some_and(|text| !text.is_empty())));
}

/// The number of sessions can be set; the is 10,000.
#[test]
fn however_many_clients_tokens_and_paths_there_are_the_series_are_those_of_a_fresh_start() {
    let count = size("WEBSOCKIFY_SERIES_SESSIONS", 10_000);
    if !may_open(2000) {
        return;
    }
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let others: Vec<Service> = (0..10).map(|_| Target::tcp().echo()).collect();
    let lines: Vec<String> = (0..count)
        .map(|number| format!("token{number}: {}\n", others.get(number % 20).unwrap_or(&target).address))
        .collect();
    fs::write(scratch.path("tokens"), lines.concat()).expect("written");
    let tokens = scratch.arg("tokens");
    let options = ["--admin", "0", "--token-plugin", "TokenFile", "--token-source", &tokens];
    let server = Server::start(&[&options[..], &["127.0.0.1:0"]].concat());
    let admin = Admin::of(&server);
    admin.eventually_ready();
    // A page is counted itself in nothing, so the first one has all series.
    let fresh = series(&page(&admin));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for number in (thread..count).step_by(8) {
                    let part = |bits: usize| (number >> bits & 0x7f) as u8 + 1;
                    let mut client = Client::connect_from([127, part(14), part(7), part(0)], server);
                    let path = format!("GET /path{number}?token=token{number}&x={number} ");
                    let answer = client.ask(UPGRADE.replace("GET / ", &path).as_bytes());
                    assert_eq!(answer.status, 101);
                    // Codes of their own, too.
                    client.send(&Frame::close(3000 + (number % 2000) as u16, "x"));
                    client.wire.wait_until_gone();
                }
            });
        }
    });
    let opened = "websockify_sessions_opened_total{transport=\"ws\"}";
    assert_eq!(value(&page(&admin), opened), count as f64);
    let after = series(&page(&admin));
    let new: Vec<&String> = after.difference(&fresh).collect();
    assert!(new.is_empty() && after.len() == fresh.len(), "{new:?}");
    assert!(fresh.len() < 400, "{} series", fresh.len());
}
