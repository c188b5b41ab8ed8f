//! The same services, asked by Python websockify 0.13.0 and by this program. What differs has to be one of the
//! differences intended, which stand beside their case; and a case that names one has to show it.
//!
//! `WEBSOCKIFY_PYTHON` names a Python that has websockify 0.13.0, requests and redis; without it the tests are
//! skipped and say so.

use crate::common::redis::Redis;
use crate::common::server::Server;
use crate::common::target::Target;

use super::services::{found, ok, service};
use super::side_by_side::start_python_with;
use super::tokens_beside_python::{Outcome, REFUSED, named, outcome, python};

/// Both programs with the same options.
fn both(python: &str, options: &[&str]) -> (Server, Server) {
    (start_python_with(python, options, &[]), Server::start(&[options, &["127.0.0.1:0"]].concat()))
}

fn check(servers: &(Server, Server), cases: Vec<(&str, Outcome, Option<&str>)>) {
    for (query, expected, difference) in cases {
        let path = format!("/websockify?token={query}");
        let (their, our) = (outcome(&servers.0, &path, ""), outcome(&servers.1, &path, ""));
        assert_eq!(our, expected, "{query}");
        assert_eq!(
            their != our,
            difference.is_some(),
            "{query}: {their:?} there, {our:?} here, {difference:?}"
        );
    }
}

fn one() -> Outcome {
    Outcome::Target("one".into())
}

#[test]
fn services_of_http_mean_the_same_to_both() {
    let Some(python) = python() else { return };
    let address = named(Target::tcp(), "one");
    let port = address.rsplit(':').next().unwrap().to_owned();
    let plain = address.clone();
    let (text, _) = service(move |first| {
        let target = first.split(' ').nth(1).unwrap_or_default();
        let coded =
            |code: u16| format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{plain}", plain.len());
        match target.strip_prefix("/t?a=%20b&token=").unwrap_or(target) {
            "plain" | "/moved" | "a%20b" | "%C3%BC" | "a/b" | "a%2Fb" => ok(&plain),
            "name" => ok(&format!("localhost:{port}")),
            "moved" => found("/moved"),
            "relative" => found("moved"),
            "twice" => found("/t?a=%20b&token=relative"),
            "loop" => found("/t?a=%20b&token=loop"),
            "code201" => coded(201),
            "code299" => coded(299),
            "code300" => coded(300),
            "code399" => coded(399),
            "code404" => coded(404),
            "code500" => coded(500),
            "spaces" => ok(&format!(" {plain}\n")),
            "bracket" => ok(&format!("[::ffff:127.0.0.1]:{port}")),
            "bare" => ok(&format!("::ffff:127.0.0.1:{port}")),
            "large" => ok(&format!("127.0.0.1:{}", 65536 + port.parse::<u32>().unwrap())),
            "nohost" => ok(&format!(":{port}")),
            "empty" => ok(""),
            "chunked" => format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{plain}\r\n0\r\n\r\n",
                plain.len()
            ),
            "closed" => format!("HTTP/1.0 200 OK\r\n\r\n{plain}"),
            "a" => ok("127.0.0.1:1"),
            "a&token=plain" => ok(&plain),
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
        }
    });
    let source = format!("http://{}/t?a=%%20b&token=%s", text.address);
    let failed = || Outcome::Status(503);
    let base = both(&python, &["--token-plugin", "BaseTokenAPI", "--token-source", &source]);
    check(
        &base,
        vec![
            ("plain", one(), None),
            ("name", one(), None),
            ("moved", one(), None),
            ("relative", one(), None),
            ("twice", one(), None),
            ("chunked", one(), None),
            ("closed", one(), None),
            ("code201", one(), None),
            ("code299", one(), None),
            ("a%20b", one(), None),
            ("%C3%BC", one(), None),
            ("a%2Fb", one(), None),
            ("loop", failed(), Some(REFUSED)),
            ("code404", Outcome::Status(404), Some(REFUSED)),
            ("code500", Outcome::Status(404), Some(REFUSED)),
            ("absent", Outcome::Status(404), Some(REFUSED)),
            ("empty", failed(), Some(REFUSED)),
            ("bare", failed(), Some(REFUSED)),
            ("code300", Outcome::Status(404), Some("3xx without Location is found there")),
            ("code399", Outcome::Status(404), Some("odd statuses are found there")),
            ("spaces", one(), Some("white space around the body counts there")),
            ("bracket", one(), Some("brackets are taken, too")),
            ("large", failed(), Some("ports above 65535 wrap there")),
            ("nohost", failed(), Some("no host is no target")),
            ("a%26token%3Dplain", Outcome::Status(404), Some("the token is pasted raw there")),
        ],
    );
}

#[test]
fn services_of_json_mean_the_same_to_both() {
    let Some(python) = python() else { return };
    let address = named(Target::tcp(), "one");
    let (host, port) =
        address.split_once(':').map(|(host, port)| (host.to_owned(), port.to_owned())).unwrap();
    let (service, _) = service(move |first| match first.split(['/', ' ']).nth(2).unwrap_or_default() {
        "number" => ok(&format!("{{\"host\": \"{host}\", \"port\": {port}}}")),
        "string" => ok(&format!("{{\"port\":\"{port}\",\"host\":\"{host}\",\"x\":null}}")),
        "spaces" => ok(&format!("\n {{\"host\": \"{host}\", \"port\": {port}}}\n")),
        "bare" => ok(&format!("{{\"host\": \"::ffff:127.0.0.1\", \"port\": {port}}}")),
        "bracket" => ok(&format!("{{\"host\": \"[::ffff:127.0.0.1]\", \"port\": {port}}}")),
        "nohost" => ok(&format!("{{\"host\": \"\", \"port\": {port}}}")),
        "nullhost" => ok(&format!("{{\"host\": null, \"port\": {port}}}")),
        "noport" => ok(&format!("{{\"host\": \"{host}\"}}")),
        "list" => ok(&format!("[\"{host}\", {port}]")),
        "text" => ok(&format!("{host}:{port}")),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
    });
    let source = format!("http://{}/%s", service.address);
    let json = both(&python, &["--token-plugin", "JSONTokenApi", "--token-source", &source]);
    let failed = || Outcome::Status(503);
    check(
        &json,
        vec![
            ("number", one(), None),
            ("string", one(), None),
            ("spaces", one(), None),
            ("bare", one(), None),
            ("bracket", one(), Some("brackets are taken, too")),
            ("nohost", failed(), Some("an empty host is localhost there")),
            ("nullhost", failed(), Some("a null host is localhost there")),
            ("noport", failed(), Some(REFUSED)),
            ("list", failed(), Some(REFUSED)),
            ("text", failed(), Some(REFUSED)),
            ("absent", Outcome::Status(404), Some(REFUSED)),
        ],
    );
}

#[test]
fn redis_means_the_same_to_both() {
    let Some(python) = python() else { return };
    let Some(redis) = Redis::start(&[]) else { return };
    let address = named(Target::tcp(), "one");
    let port = address.rsplit(':').next().unwrap();
    for (key, value) in [
        ("plain", address.clone()),
        ("json", format!("{{\"host\": \"{address}\", \"more\": 1}}")),
        ("spaces", format!(" {address}\n")),
        ("name", format!("localhost:{port}")),
        ("bracket", format!("[::ffff:127.0.0.1]:{port}")),
        ("bare", format!("::ffff:127.0.0.1:{port}")),
        ("nohost", format!(":{port}")),
        ("nonsense", "nonsense".into()),
        ("badjson", "{".into()),
        ("otherjson", "{\"port\": 1}".into()),
        ("ns:inner", address.clone()),
        ("a:b:inner", address.clone()),
    ] {
        redis.set(key, &value);
    }
    assert_eq!(redis.cli(&["-n", "2", "set", "inner", &address]), "OK");
    assert_eq!(redis.cli(&["-n", "2", "set", "x:y:inner", &address]), "OK");
    let failed = || Outcome::Status(503);
    let servers = both(&python, &["--token-plugin", "TokenRedis", "--token-source", &redis.address()]);
    for server in [&servers.0, &servers.1] {
        server.log.expect(&format!("TokenRedis backend initialized ({})", redis.address()), 1);
    }
    check(
        &servers,
        vec![
            ("plain", one(), None),
            ("json", one(), None),
            ("spaces", one(), None),
            ("name", one(), None),
            ("ns:inner", one(), None),
            ("bracket", one(), Some("brackets are taken, too")),
            ("bare", failed(), Some(REFUSED)),
            ("nohost", failed(), Some(REFUSED)),
            ("nonsense", failed(), Some(REFUSED)),
            ("badjson", failed(), Some(REFUSED)),
            ("otherjson", failed(), Some(REFUSED)),
            ("absent", Outcome::Status(404), Some(REFUSED)),
        ],
    );
    for source in [
        format!("{}:::ns", redis.address()),
        format!("{}:2", redis.address()),
        format!("{}:0::ns", redis.address()),
        format!("{}:2::\"x:y\"", redis.address()),
        format!("{}:::\"a:b\"", redis.address()),
        format!("\"127.0.0.1\":{}::unneeded:ns", redis.address().rsplit(':').next().unwrap()),
    ] {
        let servers = both(&python, &["--token-plugin", "TokenRedis", "--token-source", &source]);
        check(&servers, vec![("inner", one(), None), ("plain", Outcome::Status(404), Some(REFUSED))]);
    }
}
