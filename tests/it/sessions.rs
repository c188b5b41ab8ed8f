//! Sessions at the admin listener: listed, looked at and ended, and never another one than was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::admin::Admin;
use crate::common::client::{Client, UPGRADE};
use crate::common::frame::Frame;
use crate::common::process::{may_open, size};
use crate::common::random::Random;
use crate::common::server::Server;
use crate::common::target::{Service, Target};
use crate::common::{Scratch, eventually};

/// The sessions that a page has.
fn rows(page: &Value) -> Vec<Value> {
    page["sessions"].as_array().expect("a list").clone()
}

/// All sessions that match, page by page.
fn all(admin: &Admin, filter: &str, limit: usize) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin.json(&format!("/api/v1/sessions?limit={limit}{filter}{after}"));
        assert_eq!(page["incomplete"], json!([]));
        let some = rows(&page);
        assert!(some.len() <= limit);
        found.extend(some);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return found,
        }
    }
}

fn ids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| row["id"].as_str().expect("text").to_owned()).collect()
}

/// The hash of a token, as sha256sum(1) has it.
fn hash(token: &str) -> String {
    let command = format!("printf %s '{token}' | sha256sum | cut -c1-16");
    let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("a shell");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A gateway whose tokens `a` and `b` lead to two targets.
fn with_tokens(scratch: &Scratch) -> (Service, Service, Server) {
    let (one, other) = (Target::tcp().echo(), Target::tcp().echo());
    let text = format!("a: {}\nb: {}\n", one.address, other.address);
    fs::write(scratch.path("tokens"), text).expect("written");
    let tokens = scratch.arg("tokens");
    let options =
        ["--admin", "0", "--workers", "2", "--token-plugin", "TokenFile", "--token-source", &tokens];
    let server = Server::start(&[&options[..], &["127.0.0.1:0"]].concat());
    (one, other, server)
}

fn session(server: &Server, address: u8, token: &str) -> Client {
    let mut client = Client::connect_from([127, 0, 0, address], server);
    let upgrade = UPGRADE.replace("GET / ", &format!("GET /?token={token} "));
    assert_eq!(client.ask(upgrade.as_bytes()).status, 101);
    client.echo(b"hello");
    client
}

#[test]
fn a_list_says_who_where_to_and_how_much() {
    let scratch = Scratch::new();
    let (one, _other, server) = with_tokens(&scratch);
    let admin = Admin::of(&server);
    let mut client = session(&server, 7, "a");
    client.echo(&[1; 1000]);
    let page = admin.json("/api/v1/sessions");
    assert_eq!((&page["next"], &page["total"], &page["incomplete"]), (&Value::Null, &json!(1), &json!([])));
    let row = rows(&page).pop().expect("one");
    let port = client.wire.port();
    let place = json!({ "address": "127.0.0.7", "port": port });
    for (field, expected) in [
        ("process", json!("current")),
        ("state", json!("open")),
        ("transport", json!("ws")),
        ("client", place.clone()),
        ("peer", place),
        ("via", json!("direct")),
        ("target", json!(one.address)),
        ("token", json!(hash("a"))),
        ("identity", Value::Null),
        ("request_id", Value::Null),
        ("expires", Value::Null),
        ("bytes", json!({ "up": 1005, "down": 1005 })),
        ("rtt_seconds", Value::Null),
        ("stalled", Value::Null),
        ("held_bytes", json!(0)),
        ("tls", Value::Null),
    ] {
        assert_eq!(row[field], expected, "{field} of {row}");
    }
    assert!(row["duration_seconds"].is_number() && row["idle_seconds"]["up"].is_number());
    assert!(row["begun"].as_str().is_some_and(|text| text.ends_with('Z')), "{row}");
    let id = row["id"].as_str().expect("text");
    let alone = admin.json(&format!("/api/v1/sessions/{id}"));
    assert_eq!((&alone["id"], &alone["bytes"]), (&row["id"], &row["bytes"]));
    assert!(!page.to_string().contains("token=a"), "no token is shown");
    let instance = admin.json("/api/v1/status")["instance"].as_str().expect("text").to_owned();
    assert!(id.starts_with(&format!("{instance}-")), "{id}");
}

#[test]
fn pages_have_every_session_once_and_filters_choose() {
    let scratch = Scratch::new();
    let (one, other, server) = with_tokens(&scratch);
    let admin = Admin::of(&server);
    let mut clients: Vec<Client> = (0..30)
        .map(|number| session(&server, 1 + number % 3, if number % 2 == 0 { "a" } else { "b" }))
        .collect();
    let every = ids(&all(&admin, "", 1000));
    assert_eq!(every.len(), 30);
    for limit in [1, 4, 7, 30, 31] {
        let found = all(&admin, "", limit);
        assert_eq!((found.len(), ids(&found)), (30, every.clone()), "in pages of {limit}");
    }
    for (filter, count) in [
        ("&address=127.0.0.1".to_owned(), 10),
        ("&address=127.0.0.0/30".to_owned(), 30),
        ("&address=127.0.0.2/31".to_owned(), 20),
        ("&address=10.0.0.0/8".to_owned(), 0),
        (format!("&target={}", one.address), 15),
        (format!("&target={}&address=127.0.0.2", other.address), 5),
        (format!("&token={}", hash("b")), 15),
        ("&token=0123456789abcdef".to_owned(), 0),
        ("&idle_over=3600".to_owned(), 0),
        ("&idle_over=0".to_owned(), 30),
        ("&stalled=1".to_owned(), 0),
    ] {
        for limit in [3, 1000] {
            assert_eq!(all(&admin, &filter, limit).len(), count, "{filter}");
        }
    }
    for client in clients.iter_mut().take(5) {
        client.echo(&[0; 5000]);
    }
    let best = rows(&admin.json("/api/v1/sessions?sort=bytes&limit=5"));
    assert_eq!(best.len(), 5);
    assert!(best.iter().all(|row| row["bytes"]["up"] == 5005), "{best:?}");
    for wrong in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=x",
        "sort=x",
        "address=x",
        "stalled=2",
        "adress=127.0.0.1",
    ] {
        assert_eq!(admin.get(&format!("/api/v1/sessions?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn one_session_is_ended_and_its_client_told_why() {
    let scratch = Scratch::new();
    let (_one, _other, server) = with_tokens(&scratch);
    let admin = Admin::of(&server);
    for (parameters, code, reason) in [
        ("", 1008, "Session was ended by the operator"),
        ("?reason=revoked", 1008, "Access was withdrawn"),
        ("?code=1012&reason=maintenance", 1012, "Maintenance"),
        ("?code=4000&reason=ended", 4000, "Session was ended by the operator"),
    ] {
        let (mut ended, mut stays) = (session(&server, 1, "a"), session(&server, 2, "a"));
        let row = rows(&admin.json("/api/v1/sessions?address=127.0.0.1")).pop().expect("one");
        let path = format!("/api/v1/sessions/{}", row["id"].as_str().expect("text"));
        let answer = admin.change("DELETE", &format!("{path}{parameters}"), "");
        assert_eq!((answer.status, answer.body.as_str()), (202, "{\"ended\":1}\n"));
        assert_eq!(ended.closed_with(code), reason);
        // It is closing: there is nothing left to end.
        assert_eq!(admin.change("DELETE", &path, "").status, 404);
        ended.send(&Frame::close(code, ""));
        ended.wire.wait_until_gone();
        stays.echo(b"still here");
        stays.close();
        eventually("the session to be gone", || admin.get(&path).status == 404);
    }
    server.log.wait_for("(by 127.0.0.1)");
    let mut stays = session(&server, 1, "a");
    let name =
        rows(&admin.json("/api/v1/sessions")).pop().expect("one")["id"].as_str().expect("text").to_owned();
    for wrong in [
        format!("/{name}?code=1005"),
        format!("/{name}?code=999"),
        format!("/{name}?reason=because"),
        format!("/{name}?force=1"),
        "".to_owned(),
        "?all=1".to_owned(),
        "?all=true&token=x".to_owned(),
        "?idle_over=1".to_owned(),
    ] {
        assert_eq!(admin.change("DELETE", &format!("/api/v1/sessions{wrong}"), "").status, 400, "{wrong}");
    }
    let others =
        [name.replace('-', "--"), name.to_uppercase(), format!("{name}0"), format!("0{}", &name[1..])];
    for stranger in others.iter().filter(|stranger| **stranger != name) {
        assert_eq!(
            admin.change("DELETE", &format!("/api/v1/sessions/{stranger}"), "").status,
            404,
            "{stranger}"
        );
    }
    stays.echo(b"still here");
}

#[test]
fn sessions_of_one_user_are_listed_and_ended_and_nobody_elses() {
    let target = Target::tcp().echo();
    let options =
        ["--admin", "0", "--auth-plugin", "BasicHTTPAuth", "--auth-source", "ann o'brien:secret-word"];
    let server = Server::relay_with(&target.address, &options);
    let admin = Admin::of(&server);
    let open = || {
        let mut client = Client::connect(&server);
        // ann o'brien:secret-word
        let line = "\r\nAuthorization: Basic YW5uIG8nYnJpZW46c2VjcmV0LXdvcmQ=\r\n\r\n";
        assert_eq!(client.ask(UPGRADE.replace("\r\n\r\n", line).as_bytes()).status, 101);
        client.echo(b"hello");
        client
    };
    let (mut one, mut other) = (open(), open());
    let page = admin.json("/api/v1/sessions?identity=ann+o%27brien");
    assert_eq!(rows(&page).len(), 2, "{page}");
    assert!(rows(&page).iter().all(|row| row["identity"] == "ann o'brien"), "{page}");
    assert!(!page.to_string().contains("secret-word"));
    for nobody in ["ann", "Ann+o%27brien", "ann+o%27brien%00", "*"] {
        assert_eq!(rows(&admin.json(&format!("/api/v1/sessions?identity={nobody}"))).len(), 0, "{nobody}");
        let path = format!("/api/v1/sessions?identity={nobody}");
        assert_eq!(admin.change("DELETE", &path, "").body, "{\"ended\":0,\"incomplete\":0}\n");
    }
    assert_eq!(admin.change("DELETE", "/api/v1/sessions?identity=", "").status, 400, "it must not mean all");
    one.echo(b"still here");
    let path = "/api/v1/sessions?identity=ann%20o%27brien&reason=revoked";
    assert_eq!(admin.change("DELETE", path, "").body, "{\"ended\":2,\"incomplete\":0}\n");
    for client in [&mut one, &mut other] {
        assert_eq!(client.closed_with(1008), "Access was withdrawn");
    }
    server.log.wait_for("admin: ended 2 sessions, of identity ann o'brien (by ");
}

#[test]
fn all_of_a_token_an_address_or_a_target_are_ended_at_once() {
    let scratch = Scratch::new();
    let (_one, other, server) = with_tokens(&scratch);
    let admin = Admin::of(&server);
    let open = |address: u8, token: &str, count: usize| -> Vec<Client> {
        (0..count).map(|_| session(&server, address, token)).collect()
    };
    let (token, address, target, mut rest) =
        (open(1, "a", 4), open(2, "b", 3), open(3, "b", 2), open(4, "b", 1));
    rest.pop().expect("one").close();
    let mut stays = session(&server, 9, "a");
    let path = format!("/api/v1/sessions?address=127.0.0.1&token={}&reason=revoked", hash("a"));
    assert_eq!(admin.change("DELETE", &path, "").body, "{\"ended\":4,\"incomplete\":0}\n");
    for mut client in token {
        assert_eq!(client.closed_with(1008), "Access was withdrawn");
    }
    server
        .log
        .wait_for(&format!("admin: ended 4 sessions, of token {} and address 127.0.0.1 (by ", hash("a")));
    assert_eq!(
        admin.change("DELETE", "/api/v1/sessions?address=127.0.0.2", "").body,
        "{\"ended\":3,\"incomplete\":0}\n"
    );
    for mut client in address {
        client.closed_with(1008);
    }
    let path = format!("/api/v1/sessions?target={}", other.address);
    assert_eq!(admin.change("DELETE", &path, "").body, "{\"ended\":2,\"incomplete\":0}\n");
    for mut client in target {
        client.closed_with(1008);
    }
    stays.echo(b"still here");
    assert_eq!(
        admin.change("DELETE", "/api/v1/sessions?all=true", "").body,
        "{\"ended\":1,\"incomplete\":0}\n"
    );
    stays.closed_with(1008);
    server.log.wait_for("admin: ended 1 sessions, all (by ");
    drop(stays);
    eventually("all of them to be counted", || {
        admin.get("/metrics").body.contains("websockify_revoked_sessions_total{by=\"admin\"} 10\n")
    });
}

/// Sessions come and go in few slots; names that were seen once are ended again and again. Whoever is ended is the one
/// of that name.
#[test]
fn a_kill_never_hits_another_session_in_the_same_slot() {
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--admin", "0", "--workers", "2"]);
    let admin = Admin::of(&server);
    let mut random = Random::new(20);
    // Living sessions by name, and the names of all that ever were.
    let (mut living, mut names): (BTreeMap<String, Client>, Vec<String>) = (BTreeMap::new(), Vec::new());
    let mut kills = (0, 0);
    for _ in 0..size("WEBSOCKIFY_KILLS", 400) {
        match random.below(4) {
            0 | 1 if living.len() < 8 => {
                let mut client = Client::open(&server);
                client.echo(b"hello");
                let new: Vec<String> =
                    ids(&all(&admin, "", 1000)).into_iter().filter(|name| !names.contains(name)).collect();
                assert_eq!(new.len(), 1, "one came: {new:?}");
                names.extend(new.iter().cloned());
                living.insert(new[0].clone(), client);
            }
            2 if !living.is_empty() => {
                let at = random.below(living.len());
                let name = living.keys().nth(at).expect("below").clone();
                living.remove(&name).expect("there").close();
            }
            _ if !names.is_empty() => {
                let name = &names[random.below(names.len())];
                let status = admin.change("DELETE", &format!("/api/v1/sessions/{name}"), "").status;
                match living.remove(name) {
                    Some(mut client) => {
                        assert_eq!(status, 202, "{name}");
                        client.closed_with(1008);
                        kills.0 += 1;
                    }
                    None => {
                        assert_eq!(status, 404, "{name}");
                        kills.1 += 1;
                    }
                }
            }
            _ => {}
        }
        for client in living.values_mut() {
            client.echo(b"alive");
        }
    }
    assert!(kills.0 > 5 && kills.1 > 5, "{kills:?}");
    let slots: BTreeSet<&str> = names.iter().filter_map(|name| Some(name.rsplit_once('-')?.0)).collect();
    assert!(
        slots.len() < names.len() / 2,
        "slots are used again: {} names, {} slots",
        names.len(),
        slots.len()
    );
}

#[test]
fn a_list_of_many_sessions_does_not_stop_an_echo() {
    let count = size("WEBSOCKIFY_LISTED_SESSIONS", 1500);
    if !may_open(2 * count as u64 + 200) {
        return;
    }
    let target = Target::tcp().echo();
    let server = Server::relay_with(&target.address, &["--admin", "0"]);
    let admin = Admin::of(&server);
    let clients: Vec<Client> = (0..count).map(|_| Client::open(&server)).collect();
    let mut echo = Client::open(&server);
    let other = admin.clone();
    let lists = std::thread::spawn(move || {
        (0..20).for_each(|_| assert_eq!(all(&other, "", 1000).len(), count + 1));
        rows(&other.json("/api/v1/sessions?sort=age&limit=10")).len()
    });
    echo.stays_quick(Duration::from_secs(2), || {});
    assert_eq!(lists.join().expect("lists are whole"), 10);
    drop(clients);
}
