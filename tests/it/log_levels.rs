//! The level of the log while the service runs: for everything or for some clients, for a while or until it is taken
//! back.

use serde_json::{Value, json};

use crate::common::admin::Admin;
use crate::common::client::{Client, UPGRADE};
use crate::common::server::Server;
use crate::common::target::Target;
use crate::common::{Scratch, eventually};

const LOG: &str = "/api/v1/log";

/// A gateway that believes this machine who its clients are, with its log in this form.
fn gateway(scratch: &Scratch, target: &str, format: &str) -> (Server, Admin) {
    let admin = format!("unix:{}", scratch.arg("admin"));
    let options = ["--admin", &admin, "--trusted-proxy", "127.0.0.1", "--log-format", format];
    let server = Server::relay_with(target, &options);
    let admin = Admin::at_unix(&scratch.path("admin"));
    admin.eventually_ready();
    (server, admin)
}

/// A session of a client of this address, which ends in order.
fn visit(server: &Server, address: &str) {
    let mut client = Client::connect(server);
    let named = UPGRADE.replace("\r\n\r\n", &format!("\r\nX-Forwarded-For: {address}\r\n\r\n"));
    assert_eq!(client.ask(named.as_bytes()).status, 101);
    client.echo(b"hello");
    client.close();
}

/// What GET shows.
fn usual() -> Value {
    json!({ "level": "info", "seconds": null, "configured": "info", "addresses": [] })
}

fn change(admin: &Admin, method: &str, path: &str, body: &str) -> Value {
    let answer = admin.change(method, path, body);
    assert_eq!(answer.status, 200, "{body}: {answer:?}");
    serde_json::from_str(&answer.body).expect("an object")
}

/// Lines that contain both.
fn count(server: &Server, first: &str, second: &str) -> usize {
    server.log.lines().iter().filter(|line| line.contains(first) && line.contains(second)).count()
}

#[test]
fn the_log_says_more_of_one_client_as_long_as_the_operator_wants_that() {
    let target = Target::tcp().echo();
    for (format, start, detail) in [
        ("text", "Plain non-SSL (ws://) WebSocket connection", "\"GET / HTTP/1.1\" 101 -"),
        ("json", "\"event\":\"session.start\"", "\"severity\":\"debug\",\"event\":\"http.request\""),
    ] {
        let scratch = Scratch::new();
        let (server, admin) = gateway(&scratch, &target.address, format);
        assert_eq!(admin.json(LOG), usual());
        // A request is logged before its session.
        let visits = |addresses: &[&str]| {
            for address in addresses {
                let before = count(&server, address, start);
                visit(&server, address);
                eventually("the session to be logged", || count(&server, address, start) == before + 1);
            }
            addresses.iter().map(|address| count(&server, address, detail)).collect::<Vec<_>>()
        };
        let clients = ["10.0.0.7", "10.0.0.8", "fd00::7"];
        assert_eq!(visits(&clients), [0, 0, 0], "{format}");

        let body = json!({ "level": "debug", "address": "10.0.0.7", "seconds": 600 }).to_string();
        let shown = change(&admin, "PUT", LOG, &body);
        let [of_client] = &shown["addresses"].as_array().expect("a list")[..] else { panic!("{shown}") };
        assert_eq!((&of_client["address"], &of_client["level"]), (&json!("10.0.0.7"), &json!("debug")));
        assert!((1..=600).contains(&of_client["seconds"].as_u64().expect("a number")), "{shown}");
        assert_eq!((&shown["level"], &shown["configured"]), (&json!("info"), &json!("info")));
        server.log.wait_for("admin: log level debug wanted for 10.0.0.7 for 600 s (by unix uid ");
        assert_eq!(visits(&clients), [1, 0, 0], "{format}");

        // A network, and without an end.
        let shown = change(&admin, "PUT", LOG, "{\"level\":\"debug\",\"address\":\"fd00::1/64\"}");
        let network = json!({ "address": "fd00::/64", "level": "debug", "seconds": null });
        assert_eq!(shown["addresses"][1], network);
        assert_eq!(visits(&clients), [2, 0, 1], "{format}");

        change(&admin, "DELETE", &format!("{LOG}?address=10.0.0.7"), "");
        server.log.wait_for("admin: usual log level wanted for 10.0.0.7 (by unix uid ");
        assert_eq!(admin.json(LOG)["addresses"], json!([network]));
        assert_eq!(visits(&clients), [2, 0, 2], "{format}");

        // For everything, and back.
        let shown = change(&admin, "PUT", LOG, "{\"level\":\"debug\"}");
        assert_eq!((&shown["level"], &shown["seconds"]), (&json!("debug"), &Value::Null));
        assert_eq!(visits(&clients), [3, 1, 3], "{format}");
        assert_eq!(change(&admin, "DELETE", LOG, ""), usual());
        assert_eq!(visits(&clients), [3, 1, 3], "{format}");
    }
}

#[test]
fn the_log_says_less_while_the_operator_wants_that_and_who_wanted_it() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let (server, admin) = gateway(&scratch, &target.address, "text");
    change(&admin, "PUT", LOG, "{\"level\":\"error\"}");
    visit(&server, "10.0.0.7");
    change(&admin, "DELETE", LOG, "");
    server.log.wait_for("admin: log level error wanted for everything (by unix uid ");
    server.log.wait_for("admin: usual log level wanted for everything (by unix uid ");
    visit(&server, "10.0.0.8");
    server.log.wait_for("10.0.0.8: Plain non-SSL");
    assert_eq!(server.log.count("10.0.0.7"), 0);
    // One client is left out of the log, and the others are not.
    change(&admin, "PUT", LOG, "{\"level\":\"warn\",\"address\":\"10.0.0.9\"}");
    visit(&server, "10.0.0.9");
    visit(&server, "10.0.0.10");
    server.log.wait_for("10.0.0.10: Plain non-SSL");
    assert_eq!(server.log.count("10.0.0.9: "), 0);
}

#[test]
fn a_level_for_a_second_is_over_without_anybody_taking_it_back() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let (server, admin) = gateway(&scratch, &target.address, "text");
    change(&admin, "PUT", LOG, "{\"level\":\"error\",\"seconds\":1}");
    change(&admin, "PUT", LOG, "{\"level\":\"debug\",\"address\":\"10.0.0.7\",\"seconds\":1}");
    eventually("the usual level", || admin.json(LOG) == usual());
    visit(&server, "10.0.0.7");
    server.log.wait_for("10.0.0.7: Plain non-SSL");
    assert_eq!(server.log.count("101 -"), 0);
}

#[test]
fn a_level_that_is_not_understood_changes_nothing_and_why_is_told() {
    let (scratch, target) = (Scratch::new(), Target::tcp().echo());
    let (_server, admin) = gateway(&scratch, &target.address, "text");
    let refused = |method: &str, path: &str, body: &str| {
        let answer = admin.change(method, path, body);
        let error: Value = serde_json::from_str(&answer.body).expect("an object");
        (answer.status, error["error"].as_str().expect("words").to_owned())
    };
    let level = "'level' must be one of error, warn, info, debug";
    let address = "'address' must be an address or a network";
    let seconds = "'seconds' must be a whole number from 1 to 31536000";
    for (body, told) in [
        ("", "the body must be a JSON object"),
        ("{}", level),
        ("{\"level\":\"Debug\"}", level),
        ("{\"level\":7}", level),
        ("{\"level\":\"debug\",\"adress\":\"10.0.0.7\"}", "there is no 'adress'"),
        ("{\"level\":\"debug\",\"address\":\"\"}", address),
        ("{\"level\":\"debug\",\"address\":null}", address),
        ("{\"level\":\"debug\",\"address\":\"10.0.0.7/33\"}", address),
        ("{\"level\":\"debug\",\"address\":\"desk7\"}", address),
        ("{\"level\":\"debug\",\"seconds\":0}", seconds),
        ("{\"level\":\"debug\",\"seconds\":1.5}", seconds),
        ("{\"level\":\"debug\",\"seconds\":-1}", seconds),
        ("{\"level\":\"debug\",\"seconds\":31536001}", seconds),
        ("{\"level\":\"debug\",\"seconds\":\"600\"}", seconds),
    ] {
        assert_eq!(refused("PUT", LOG, body), (400, told.to_owned()), "{body}");
    }
    assert_eq!(admin.json(LOG), usual());
    for number in 0..32 {
        change(
            &admin,
            "PUT",
            LOG,
            &json!({ "level": "warn", "address": format!("10.0.1.{number}") }).to_string(),
        );
    }
    let full = (400, "32 levels are set already; DELETE takes them back".to_owned());
    assert_eq!(refused("PUT", LOG, "{\"level\":\"warn\",\"address\":\"10.0.1.32\"}"), full);
    // One that is mistyped takes none of them back.
    for (query, status) in [
        ("address=10.0.0.7", 404),
        ("address=10.0.1.0/24", 404),
        ("address=desk7", 400),
        ("address=", 400),
        ("address", 400),
        ("adress=10.0.1.1", 400),
        ("all=true", 400),
    ] {
        assert_eq!(refused("DELETE", &format!("{LOG}?{query}"), "").0, status, "{query}");
    }
    assert_eq!(admin.json(LOG)["addresses"].as_array().map(Vec::len), Some(32));
}
