//! docs/monitoring.md: its configuration of Prometheus scrapes a gateway, and its unit is one.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::admin::Admin;
use crate::common::client::Client;
use crate::common::foreign::Foreign;
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::{Scratch, debian, documented, eventually, has};

/// The block of the page that is in this language.
fn block(language: &str) -> String {
    documented("monitoring.md", &format!("<!-- run by tests/it/monitoring.rs -->\n```{language}"))
}

/// What Prometheus answers to a query: the values of what it found.
fn values(port: u16, query: &str) -> Vec<String> {
    let mut client = Client::connect_to(([127, 0, 0, 1], port).into());
    let request = format!("GET /api/v1/query?query={query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.wire.send(request.as_bytes());
    let answer = client.read_answer_to_end();
    let Ok(body) = serde_json::from_str::<serde_json::Value>(&answer.body) else { return Vec::new() };
    let found = body["data"]["result"].as_array().cloned().unwrap_or_default();
    found.iter().filter_map(|one| Some(one["value"][1].as_str()?.to_owned())).collect()
}

#[test]
fn the_first_dashboard_shows_sessions() {
    let Some(program) = debian::path("prometheus", debian::PROGRAMS) else { return };
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--admin", "0"]);
    let admin = Admin::of(&server);
    admin.eventually_ready();
    let mut clients = [Client::open(&server), Client::open(&server)];
    clients.iter_mut().for_each(|client| client.echo(b"hello"));

    let config = block("yaml");
    for (text, other) in [("127.0.0.1:9000", admin.host()), ("15s", "1s".to_owned())] {
        assert_eq!(config.matches(text).count(), 1, "{config}");
        assert!(!other.is_empty());
    }
    let config = config.replace("127.0.0.1:9000", &admin.host()).replace("15s", "1s");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prometheus/rules.yml");
    let prometheus = Foreign::start(|port, scratch| {
        fs::write(scratch.path("prometheus.yml"), &config).expect("written");
        fs::copy(&rules, scratch.path("rules.yml")).expect("copied");
        let mut command = debian::command(&program);
        command
            .arg(format!("--config.file={}", scratch.arg("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", scratch.arg("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command
    });
    let port = prometheus.port;
    eventually("the gateway to be scraped", || values(port, "up%7Bjob=%22websockify%22%7D") == ["1"]);
    let query = "websockify_sessions%7Btransport=%22ws%22%7D";
    eventually("both sessions to be seen", || values(port, query) == ["2"]);
    clients.into_iter().for_each(Client::close);
    eventually("their end to be seen", || values(port, query) == ["0"]);
    let rules = values(port, "prometheus_rule_group_rules");
    assert!(rules.is_empty() || rules == ["7"], "{rules:?}");
}

#[test]
fn the_unit_is_sound() {
    if !has("systemd-analyze") {
        return;
    }
    let scratch = Scratch::new();
    let unit = block("ini");
    assert!(unit.contains("ExecStart=/usr/bin/websockify "), "{unit}");
    let unit = unit.replace("/usr/bin/websockify", &crate::common::server::program());
    fs::write(scratch.path("websockify.service"), unit).expect("written");
    let path = scratch.arg("websockify.service");
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no", &path]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("websockify")).collect();
    assert!(about_it.is_empty(), "{said}");
}
